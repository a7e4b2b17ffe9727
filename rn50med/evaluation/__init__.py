"""From a table of predictions to figures, intervals and pages, without torch or a network."""
