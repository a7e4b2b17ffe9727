"""Images in the arrays of an ``.npz`` file: small ones in memory, large ones mapped from a file."""

from __future__ import annotations

import hashlib
import lzma
import os
import shutil
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import IO, Any
from zipfile import BadZipFile, ZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from rn50med.data.images import Images, Reading, file_state
from rn50med.data.readers import ImageFault, full_range
from rn50med.errors import DataError, StorageError

_IN_MEMORY = 64 * 2**20
_MOST_PACKED = 200  # deflate reaches 1000 on nothing but zeros; films reach 1 to 5
_MOST_HEADER = 10_000
_DAMAGED = (BadZipFile, EOFError, zlib.error, lzma.LZMAError)


@dataclass(frozen=True)
class Member:
    """One array of the file, by what its header says.

    Args:
        name: Without ``.npy``.
        shape: Its axes.
        dtype: Its type, never of objects.
        fortran: Whether its first axis runs fastest.
        offset: Bytes before the first value.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    offset: int

    @property
    def size(self) -> int:
        """Bytes of its values."""
        size = self.dtype.itemsize
        for length in self.shape:
            size *= length
        return size


def members(path: Path) -> dict[str, Member]:
    """Return the arrays of an ``.npz`` file, without reading them.

    Args:
        path: The file.

    Raises:
        DataError: If it is no such file, or holds an array that is hostile or damaged; it names no file.
    """
    try:
        with ZipFile(path) as packed:
            infos = [info for info in packed.infolist() if info.filename.endswith(".npy")]
            found = {}
            for info in infos:
                with packed.open(info) as file:
                    member = _header(file, info.filename.removesuffix(".npy"))
                _check(member, info.file_size, info.compress_size)
                found[member.name] = member
            return found
    except (*_DAMAGED, NotImplementedError, RuntimeError) as error:  # the last of encrypted ones
        raise DataError(f"is no .npz file, or is cut off or damaged ({error}); copy it again.") from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check its access rights.") from error


def _header(file: IO[bytes], name: str) -> Member:
    try:
        version = npy.read_magic(file)
        first = version == (1, 0)  # any other that numpy writes for plain numbers is (2, 0), or refused
        read = npy.read_array_header_1_0 if first else npy.read_array_header_2_0
        shape, fortran, dtype = read(file, max_header_size=_MOST_HEADER)
    except ValueError as error:
        raise DataError(f"member {name!r} is no numpy array ({error}); fetch the file again.") from error
    if dtype.hasobject:
        raise DataError(
            f"member {name!r} holds Python objects, which could run code when opened, and was refused; "
            "save plain numbers."
        )
    return Member(name, tuple(shape), dtype, fortran, file.tell())


def _check(member: Member, size: int, packed: int) -> None:
    """Refuse a member whose bytes are not those that its header promises, or that was packed to do harm."""
    have = size - member.offset
    if have != member.size:
        raise DataError(
            f"member {member.name!r} says that it holds {member.size} bytes, and has {have}; "
            "fetch the file again."
        )
    if size > _IN_MEMORY and size > _MOST_PACKED * max(packed, 1):
        raise DataError(
            f"member {member.name!r} grows {size // max(packed, 1)} times when unpacked and was refused; "
            "if that is right, save the file with numpy.savez."
        )


def load(path: Path, member: Member) -> NDArray[Any]:
    """Read one array into memory.

    Args:
        path: The file.
        member: One of its `members`.

    Raises:
        DataError: If it is damaged.
    """
    if member.size > _IN_MEMORY:
        raise DataError(f"member {member.name!r} is larger than any list of labels; fetch the file again.")
    try:
        with ZipFile(path) as packed:
            content = packed.read(f"{member.name}.npy")[member.offset :]
    except (*_DAMAGED, OSError, ValueError) as error:
        raise DataError(f"member {member.name!r} is damaged ({error}); copy the file again.") from error
    order = "F" if member.fortran else "C"
    return np.frombuffer(content, member.dtype).reshape(member.shape, order=order)  # type: ignore[call-overload,no-any-return]


class ArrayImages(Images):
    """Images that are rows of arrays, named ``train/000123``.

    Large arrays are unpacked into a temporary folder, once, when the first of their images is read; the
    folder goes when the process ends.

    Args:
        path: The ``.npz`` file.
        arrays: The array of each split.
    """

    def __init__(self, path: Path, arrays: Mapping[str, Member]) -> None:
        self.path = path
        self.arrays = dict(arrays)
        self._open: dict[str, NDArray[Any]] = {}
        self._lock = Lock()
        self._folder: TemporaryDirectory[str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what another process has to open for itself."""
        return {"path": self.path, "arrays": self.arrays}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Start without open arrays."""
        self.__init__(**state)  # type: ignore[misc]

    def read(self, name: str) -> Reading:
        """Read one row."""
        split, row = self._place(name)
        values = np.array(self._array(split)[row])
        values = values[..., 0] if values.shape[2:] == (1,) else values
        kind = f"{values.dtype.str}{values.shape}".encode()  # bytes alone do not say what is a row
        return Reading(full_range(values, "NumPy"), hashlib.sha256(kind + values.tobytes()).hexdigest())

    def identity(self, name: str) -> str | None:
        """Return place, size and time of change of the file, and which of its rows it is."""
        split, row = self._place(name)
        file = file_state(self.path)
        return None if file is None else f"array\0{file}\0{self.arrays[split].name}\0{row}"

    def _place(self, name: str) -> tuple[str, int]:
        split, _, row = name.partition("/")
        if split not in self.arrays or not row.isdecimal() or int(row) >= self.arrays[split].shape[0]:
            raise ImageFault("is not in the file", "missing")
        return split, int(row)

    def _array(self, split: str) -> NDArray[Any]:
        with self._lock:
            if split not in self._open:
                member = self.arrays[split]
                try:
                    small = member.size <= _IN_MEMORY
                    self._open[split] = load(self.path, member) if small else self._mapped(member)
                except DataError as error:
                    raise ImageFault(f"is in an .npz file whose {error}") from error
            return self._open[split]

    def _mapped(self, member: Member) -> NDArray[Any]:
        """Unpack an array and map it."""
        if self._folder is None:
            self._folder = TemporaryDirectory(prefix="rn50med-", ignore_cleanup_errors=True)
        target = Path(self._folder.name, f"{member.name}.npy")
        free = shutil.disk_usage(target.parent).free
        if member.size > free:
            raise StorageError(
                f"{target.parent}: has {free / 1e9:.1f} GB free, and {self.path.name} needs "
                f"{member.size / 1e9:.1f} to be unpacked; point {'TEMP' if os.name == 'nt' else 'TMPDIR'} "
                "to a larger disk."
            )
        try:
            with ZipFile(self.path) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed.open(f"{member.name}.npy"), file, 2**20)
        except _DAMAGED as error:
            raise DataError(f"member {member.name!r} is damaged ({error}); copy the file again.") from error
        except OSError as error:
            raise StorageError(
                f"{target.parent}: cannot unpack {self.path.name} ({error.strerror})."
            ) from error
        order = "F" if member.fortran else "C"
        return np.memmap(target, member.dtype, "r", member.offset, member.shape, order)  # type: ignore[call-overload,no-any-return]
