"""Files that break readers of tables: small ones, and large ones made when asked."""

import io
import struct
import zipfile

import numpy as np

ROWS = [f"{3 * i},{i * i % 7},{i % 2}" for i in range(60)]
TABLE = "\n".join(["a,b,label", *ROWS])
LABELS = np.arange(60) % 2
NOISE = np.random.default_rng(0).normal(size=(60, 2))
M = 1_000_000


def csv(cell, name="a"):
    """A good table but for the first cell of its 41st row."""
    rows = [*ROWS[:40], ROWS[40].replace("120", cell, 1), *ROWS[41:]]
    return "\n".join([f"{name},b,label", *rows]).encode()


def npy(values):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(values))
    return buffer.getvalue()


def header(shape="(60, 2)", descr="'<f8'", version=(1, 0), more=""):
    """The head of an array; what follows may be anything."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}{more}}}\n"
    form = "<H" if version[0] == 1 else "<I"
    size = struct.pack(form, len(text))
    return b"\x93NUMPY" + bytes(version) + size + text.encode()


def npz(method=zipfile.ZIP_DEFLATED, **members):
    """An archive of raw members; y is good unless it is given."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in ({"y": npy(LABELS)} | members).items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def bomb(n_bytes=480 * M):
    """480 kB that would unpack to 480 MB, all of it declared."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        with file.open("x.npy", "w") as member:
            member.write(header(f"(60, {n_bytes // 480})"))
            for _ in range(n_bytes // M):
                member.write(bytes(M))
        file.writestr("y.npy", npy(LABELS))
    return buffer.getvalue()


def encrypted():
    """A flag in both heads of the first member says that it has a password."""
    content = bytearray(npz(zipfile.ZIP_STORED, x=npy(NOISE)))
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = content.find(mark)
        while at >= 0:
            content[at + place] |= 1
            at = content.find(mark, at + 1)
    return bytes(content)


def corrupt():
    """Bytes amid the packed numbers are others."""
    content = bytearray(npz(x=npy(np.random.default_rng(1).normal(size=(60, 300)))))
    start = content.find(b"x.npy") + 2000
    content[start : start + 200] = b"\xff" * 200
    return bytes(content)


SMALL = {
    "header-only.csv": (b"a,b,label\n", "has 0 rows; at least 20"),
    "underscore.csv": (csv("1_000"), r"'a' holds text \('1_000'\)"),
    "arabic.csv": (csv("٣"), r"'a' holds text \('٣'\)"),
    "nan.csv": (csv("+nan"), r"'a' holds text \('[+]nan'\)"),
    "hex.csv": (csv("0x10"), "holds text"),
    "thousands.csv": (csv('"1,000"'), r"'1,000'.*numbers such as 1234.5"),
    "date.csv": (csv("2020-01-31"), "holds text"),
    "endless.csv": (csv("1e400"), "'a' holds numbers beyond"),
    "inf.csv": (csv("-inf"), "holds text"),
    "missing.csv": (csv("NA"), "'a' lacks a value in row 41;"),
    "truth.csv": (csv("x" * 200_000), "line 42 has quotes .* or a cell without end"),
    "ragged.csv": (csv("1,2"), "row 41 has 4 cells and the first line has 3"),
    "quote.csv": (csv('"1'), "is no CSV table: line"),
    "zero.csv": (csv("\0"), "line 42 holds a zero byte"),
    "utf16.csv": (TABLE.encode("utf-16"), "line 1 is not UTF-8 text"),
    "latin1.csv": (TABLE.replace("a,", "Grö,", 1).encode("latin-1"), "not UTF-8 text"),
    "one.csv": (b"a,b,label\n1,2,0\n", "has 1 rows"),
    "spaces.csv": (TABLE.replace(",", " ").encode(), "has one column: no commas"),
    "twice.csv": (
        "\n".join(["label,label", *(f"{i % 2},{i % 3}" for i in range(60))]).encode(),
        "two different columns 'label'",
    ),
    "mixed.csv": (
        TABLE.replace(",", ";").replace("9;", "9,5;").replace("3;", "1.5;").encode(),
        "holds text",
    ),
    "alone.csv": (
        "\n".join(["a,label", *["0,0", "1,1"] * 20]).encode(),
        "has no feature",
    ),
    "many.csv": (b",".join([b"1"] * 60_000), "60,000 columns and at most 20,000"),
    "bom.csv": (b"\xef\xbb\xbf", "it is empty"),
    "encrypted.npz": (encrypted(), "x.npy is encrypted"),
    "corrupt.npz": (corrupt(), "that can be read"),
    "directory.npz": (
        npz(x=npy(NOISE)).replace(b"PK\x01\x02", b"PK\x01\x09"), "that can be read",
    ),
    "short.npz": (npz(x=npy(NOISE))[:-30], "that can be read"),
    "text.npz": (npz(x=b"hello"), "that can be read"),
    "vast.npz": (npz(x=header(f"({10**12},)")), "rows and"),
    "endless.npz": (npz(x=header(f"({'9' * 4000},)")), "rows and at most 100,000"),
    "less.npz": (npz(x=header() + bytes(10)), "has not the 960 bytes"),
    "more.npz": (npz(x=header() + bytes(M)), "has not the 960 bytes"),
    "negative.npz": (npz(x=header("(-60, -2)") + bytes(960)), r"of shape \(-60, -2\)"),
    "deep.npz": (npz(x=header("(" * 4000)), "that can be read"),
    "minus.npz": (npz(x=header(f"({'-' * 9000}1,)")), "that can be read"),
    "descr.npz": (npz(x=header(descr="[1, 2]")), "that can be read"),
    "nested.npz": (npz(x=header(descr=f"('<f8', ({10**12},))")),
                   "that can be read"),
    "long.npz": (npz(x=header(more=" " * 20_000)), "that can be read"),
    "new.npz": (npz(x=header(version=(9, 0))), "records, not numbers"),
    "records.npz": (npz(x=npy(np.zeros(60, "f4,i2"))), "numbers, and for labels text"),
    "complex.npz": (npz(x=npy(1j * NOISE)), "holds complex128"),
    "dates.npz": (npz(x=npy(NOISE), y=npy(np.zeros(60, "M8[D]"))), "holds datetime64"),
    "texts.npz": (npz(x=npy(NOISE), y=npy(["a" * 9999] * 60)), "39,996 bytes each"),
    "point.npz": (npz(x=npy(3.0)), r"got x \[\]"),
    "nothing.npz": (npz(x=npy(np.ones((60, 0)))), r"got x \[60, 0\]"),
    "lzma.npz": (npz(zipfile.ZIP_LZMA, x=npy(NOISE)), "packed otherwise"),
    "outside.npz": (npz(**{"../../x": npy(NOISE)}), "must hold arrays x"),
    "members.npz": (npz(**{f"m{i}": b"" for i in range(2000)}), "must hold arrays x"),
    "wide.npz": (npz(x=npy(np.zeros((60, 20_001), "i1"))), "20,001 numbers in each"),
    "only.npz": (npz(x=npy(np.arange(60)[:, None])), "has no feature"),
}  # fmt: skip
"""By name: the content, and what its sentence says."""

LARGE = {
    "commas.csv": lambda: b"," * 19 * M,
    "lines of commas.csv": lambda: (b"," * 19_999 + b"\n") * 950,
    "60,000 columns.csv": lambda: (b",".join([b"1"] * 60_000) + b"\n") * 160,
    "ended by CR.csv": lambda: b"a,label\r" + b"1,0\r" * 4 * M,
    "no end of quotes.csv": lambda: b'a,label\n"' + b"1,0\n" * 4 * M,
    "breaks in quotes.csv": lambda: b"a,label\n" + b'"a\n",' * 3 * M,
    "blank lines.csv": lambda: b"\n" * 19 * M,
    "one cell.csv": lambda: b"a,label\n" + b"1" * 19 * M,
    "gaps.csv": lambda: b"0," * 10_000 + b"1\n" + (b"0,," * 5_000 + b"1\n") * 1_200,
    "words.csv": lambda: (b"cat," * 2_000 + b"1\n") * 2_300,
    "zeros.csv": lambda: bytes(19 * M),
    "bomb.npz": bomb,
    "bomb of its size.npz": lambda: npz(x=header("(600, 20000)") + bytes(96 * M)),
}
"""By name: what makes up to 20 MB that must cost neither time nor memory."""
