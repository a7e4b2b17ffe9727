"""From a table or folder of images to batches."""
