"""Office files written by other programs become readable text, and hostile ones do no harm."""

from __future__ import annotations

import io
import os
import resource
import time
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from providers import office
from providers.errors import FileFailed
from providers.media import OFFICE
from providers.sniff import HEAD_BYTES, sniff

SAMPLES = Path(__file__).parent / "samples"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/package/2006/relationships"
KINDS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"

EXPECTED = {
    "report.docx": """# Annual report
# Results
Sales grew in all regions, größer als erwartet.
- North
- South
- Then
| Region | Sales |
| --- | --- |
| North | 1,200 |
| South \\| East | 900<br>(estimated) |
## Outlook
In a content control
Kept and inserted
See [the details](https://example.com/more)
## Comments
- Ann: Check this figure
## Headers and footers
- Confidential""",
    "sales.xlsx": """## Sheet: Sales 2026
| Region | Amount | Day | Final |
| --- | --- | --- | --- |
| North | 1234.5 | 2026-03-01 | TRUE |
| South | 0.3 | 2026-03-01 12:30:00 | FALSE |
| Total | =SUM(B2:B3) |  |  |
| a\\|b<br>second line |  |  | 08:15:00 |
Comments:
- A2: The best
## Sheet: Rates (hidden)
|  |  | x |
| --- | --- | --- |""",
    "plan.pptx": """## Slide 1: The plan
First
  Second
Notes: Say hello before this
## Slide 2: Figures
| Year | Sum |
| --- | --- |
| 2026 | 7 |
In a group
## Slide 3 (hidden): Secret""",
    "letter.odt": """# Letter
Dear   reader[^1] [a link](https://example.com/x)
- one
- two
| k | v |
| --- | --- |
| a | 1 |
[^1]: A footnote""",
    "stock.ods": """## Sheet: Stock
| Part | Count |
| --- | --- |
| Bolt | 12 |""",
    "talk.odp": """## Slide 1: Start
Welcome
Notes: Smile""",
    "memo.rtf": """Memo: now
Grüße""",
}


def packed(**members: str | bytes) -> bytes:
    """A ZIP; names with slashes as keyword arguments of a dict."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return data.getvalue()


def related(*pairs: tuple[str, str, str], extra: str = "") -> str:
    rows = (
        f'<Relationship Id="{key}" Type="{KINDS}/{kind}" Target="{place}"/>' for key, kind, place in pairs
    )
    return f'<Relationships xmlns="{RELATIONS}">{"".join(rows)}{extra}</Relationships>'


def docx(body: str | bytes, *, start: str = "", **members: str | bytes) -> bytes:
    inside = body if isinstance(body, str) else body.decode()
    document = f'{start}<w:document xmlns:w="{WORD}"><w:body>{inside}</w:body></w:document>'
    main = {
        "_rels/.rels": related(("r1", "officeDocument", "word/document.xml")),
        "word/document.xml": document,
    }
    return packed(**main, **members)


def xlsx(rows: str, strings: str = "") -> bytes:
    members = {
        "_rels/.rels": related(("r1", "officeDocument", "xl/workbook.xml")),
        "xl/workbook.xml": f'<workbook xmlns="{SHEET}" xmlns:r="{KINDS}"><sheets>'
        '<sheet name="S" r:id="r1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": related(
            ("r1", "worksheet", "worksheets/sheet1.xml"), ("r2", "sharedStrings", "sharedStrings.xml")
        ),
        "xl/sharedStrings.xml": f'<sst xmlns="{SHEET}">{strings}</sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{SHEET}"><sheetData>{rows}</sheetData></worksheet>',
    }
    return packed(**members)


def text(data: bytes) -> str:
    return office.bytes_to_text(data, "a.docx").text


def refusal(data: bytes) -> FileFailed:
    with pytest.raises(FileFailed) as caught:
        office.bytes_to_text(data, "a.docx")
    assert caught.value.status == 422
    assert "'a.docx'" in caught.value.message
    return caught.value


@pytest.mark.parametrize("name", EXPECTED)
def test_files_of_other_programs_keep_their_structure(name: str):
    data = (SAMPLES / name).read_bytes()
    read = office.bytes_to_text(data, name)
    assert "\n".join(line for line in read.text.splitlines() if line) == EXPECTED[name]
    assert not read.is_cut


@pytest.mark.parametrize("name", EXPECTED)
def test_what_they_are_is_found_in_their_content(name: str):
    data = (SAMPLES / name).read_bytes()
    assert OFFICE[sniff(data[:HEAD_BYTES], name)] == name.rpartition(".")[2]


@pytest.mark.parametrize("media_type", ["xlsx", "docx", "pptx"])
def test_macros_and_embedded_files_are_ignored(media_type: str):
    name = next(name for name in EXPECTED if name.endswith(media_type))
    data = io.BytesIO((SAMPLES / name).read_bytes())
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr("word/vbaProject.bin", b"\xd0\xcf\x11\xe0 Sub AutoOpen()")
        archive.writestr("word/embeddings/inner.docx", (SAMPLES / "report.docx").read_bytes())
    said = office.bytes_to_text(data.getvalue(), name).text
    assert "AutoOpen" not in said
    assert said.count("Annual report") == (media_type == "docx")


def test_nothing_that_a_file_refers_to_is_fetched(tmp_path: Path):
    secret = tmp_path / "secret.txt"
    secret.write_text("the secret")
    outside = (
        f'<Relationship Id="x" Type="{KINDS}/footnotes" TargetMode="External" Target="file://{secret}"/>'
    )
    climbing = f'<Relationship Id="y" Type="{KINDS}/comments" Target="../../../../..{secret}"/>'
    body = "<w:p><w:r><w:t>seen</w:t></w:r></w:p>"
    data = docx(body, **{"word/_rels/document.xml.rels": related(extra=outside + climbing)})
    assert text(data) == "seen\n"


@pytest.mark.parametrize(
    "start",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x SYSTEM "http://127.0.0.1:9/x.dtd">',
    ],
)
def test_entities_and_document_types_are_refused(start: str):
    error = refusal(docx("<w:p><w:r><w:t>&b;&a;</w:t></w:r></w:p>", start=start))
    assert (error.code, "entities" in error.message) == ("file_damaged", True)


def many_members() -> bytes:
    return packed(**{f"word/{number}.xml": "" for number in range(20_001)})


def deep() -> bytes:
    return docx("<w:sdt>" * 50_000 + "</w:sdt>" * 50_000)


def overlapping() -> bytes:
    """A header that tells far less than what comes out."""
    data = bytearray(docx("<w:p/>" + " " * (24 << 20)))
    place = data.find(b"PK\x01\x02", data.find(b"PK\x01\x02") + 1)
    data[place + 24 : place + 28] = (100).to_bytes(4, "little")
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "spaces": lambda: docx(" " * (48 << 20)),
    "paragraphs": lambda: docx("<w:p/>" * (8 << 20)),
    "members": many_members,
    "depth": deep,
    "a lying header": overlapping,
    "strings of a workbook": lambda: xlsx("", "<si/>" * (5 << 20)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_cost_little(bomb: str):
    data = BOMBS[bomb]()
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    error = refusal(data)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert error.code in ("file_too_complex", "file_damaged")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu < 5.0, f"{cpu:.1f} s of CPU"
    assert time.monotonic() - began < 30
    print(f"{bomb}: {len(data)} bytes, {cpu:.2f} s of CPU, {error.message}")


def test_cells_far_away_cost_no_room():
    rows = '<row r="1"><c r="A1"><v>1</v></c></row><row r="1048576"><c r="XFD1048576"><v>2</v></c></row>'
    assert "| 1 |" in text(xlsx(rows + '<row r="1048577"><c r="ALL1"><v>3</v></c></row>'))


def test_repeated_cells_are_counted():
    name = "urn:oasis:names:tc:opendocument:xmlns"
    content = (
        f'<o:d xmlns:o="{name}:office:1.0" xmlns:t="{name}:table:1.0" xmlns:x="{name}:text:1.0"><o:body>'
        '<o:spreadsheet><t:table t:name="B"><t:table-row t:number-rows-repeated="1000000">'
        '<t:table-cell t:number-columns-repeated="16384"><x:p>bomb</x:p></t:table-cell>'
        "</t:table-row></t:table></o:spreadsheet></o:body></o:d>"
    )
    read = office.bytes_to_text(packed(**{"content.xml": content}), "a.ods")
    assert read.is_cut
    assert len(read.text) < 2_100_000
    assert read.text.endswith("holds more.]\n")


def test_long_texts_are_cut_and_say_so():
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>{n:08d} {os.urandom(40).hex()}</t></is></c></row>'
        for n in range(1, 40_000)
    )
    read = office.bytes_to_text(xlsx(rows), "a.xlsx")
    assert read.is_cut
    assert len(read.text) < 2_100_000


def encrypted_zip() -> bytes:
    data = bytearray((SAMPLES / "report.docx").read_bytes())
    for mark, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = data.find(mark)
        while place >= 0:
            data[place + at] |= 1
            place = data.find(mark, place + 4)
    return bytes(data)


def encrypted_odt() -> bytes:
    manifest = "<manifest:manifest><manifest:encryption-data/></manifest:manifest>"
    members: dict[str, str | bytes] = {"META-INF/manifest.xml": manifest, "content.xml": b"\x00\x01 noise"}
    return packed(**members)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "file_encrypted"),
        (encrypted_zip(), "file_encrypted"),
        (encrypted_odt(), "file_encrypted"),
        ((SAMPLES / "report.docx").read_bytes()[:20_000], "file_damaged"),
        (b"PK\x03\x04 and nothing more", "file_damaged"),
        (packed(**{"word/other.xml": "<a/>"}), "file_damaged"),
        (docx("<w:p>"), "file_damaged"),
        (docx(""), "file_without_text"),
    ],
    ids=[
        "an encrypted OOXML file",
        "an encrypted ZIP",
        "an encrypted ODF file",
        "cut off",
        "a signature alone",
        "without its main part",
        "broken XML",
        "empty",
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, code: str):
    assert refusal(data).code == code


def test_damage_anywhere_is_answered_in_words():
    whole = (SAMPLES / "sales.xlsx").read_bytes()
    for place in range(40, len(whole), len(whole) // 8):
        broken = whole[:place] + b"\xff\xff\xff" + whole[place + 3 :]
        with suppress(FileFailed):
            assert office.bytes_to_text(broken, "sales.xlsx").text
