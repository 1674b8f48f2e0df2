"""Every script: names that a registry may hold are drawn in the PDF without any font of the system."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pypdf import PdfReader

from etl.render import faces, render
from tests.test_render import MAIL, figures

NAMES = {
    "Arabic": "أكاديمية الشمال",
    "Armenian": "Հայաստան",
    "Bengali": "ঢাকা বিশ্ববিদ্যালয়",
    "Devanagari": "दिल्ली विश्वविद्यालय",
    "Ethiopic": "አዲስ አበባ",
    "Georgian": "თბილისი",
    "Gujarati": "ગુજરાત",
    "Gurmukhi": "ਪੰਜਾਬ",
    "Hebrew": "אוניברסיטה",
    "Kannada": "ಕರ್ನಾಟಕ",
    "Khmer": "ភ្នំពេញ",
    "KR": "서울대학교",
    "Lao": "ວຽງຈັນ",
    "Malayalam": "കേരളം",
    "Myanmar": "ရန်ကုန်",
    "SC": "北京大学 東京大学 國立臺灣大學 カタカナ",
    "Sinhala": "කොළඹ",
    "Tamil": "தமிழ்நாடு",
    "Telugu": "తెలంగాణ",
    "Thai": "จุฬาลงกรณ์",
}
NO_FONTS = (
    '<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd"><fontconfig><cachedir>{}</cachedir></fontconfig>'
)
TO_PDF = "import sys; from etl.render import to_pdf; sys.stdout.buffer.write(to_pdf(sys.stdin.read()))"


@pytest.mark.parametrize("script", NAMES)
def test_a_name_is_drawn_without_fonts_of_the_system(script: str, tmp_path: Path) -> None:
    """A host that has no fonts makes the same PDF: each name in the project's own faces, and as text that can be searched."""
    (tmp_path / "fonts.conf").write_text(NO_FONTS.format(tmp_path))
    style = (faces.FONTS.parent / "report.css").read_text()
    page = f'<html lang="en"><title>Report</title><style>{style}</style><h1>{NAMES[script]}</h1><p>Ada Żółć Ωμέγα Москва</p></html>'
    environment = os.environ | {
        "FONTCONFIG_FILE": str(tmp_path / "fonts.conf"),
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    made = subprocess.run(
        [sys.executable, "-c", TO_PDF], input=page.encode(), capture_output=True, check=True, env=environment
    )
    drawn = PdfReader(io.BytesIO(made.stdout)).pages[0]
    fonts = {font.get_object()["/BaseFont"].split("+")[-1] for font in drawn["/Resources"]["/Font"].values()}
    assert {name.split("-")[0] for name in fonts} <= {"Inter", f"Noto-Sans-{script}".replace("-", ""), "Noto"}, fonts
    assert any("Noto" in name for name in fonts), fonts
    assert faces.undrawn(page) == []


def test_usual_characters_have_a_glyph() -> None:
    """Each face has the characters that call for it, as far as any text in use has them; Inter has Latin, Greek, Cyrillic."""
    assert (
        faces.undrawn("".join(NAMES.values()) + "Ñandú Łódź Ωμέγα Москва – — ‘’ “” … → ← − • · № € ₹ ₽ ™ × ≤ ≥") == []
    )
    assert faces.scripts_of("Ada Lovelace, Москва") == ()


def test_what_no_face_has_is_told(tmp_path: Path) -> None:
    """A name with an emoji does not keep the report from going out: its PDF has a box, and a warning names the character."""
    certificate = figures("usual")["certificates"][0] | {"name": "Data \N{GRADUATION CAP} Science"}
    [warning] = render(figures("usual", certificates=[certificate]), tmp_path, mail=MAIL)
    assert warning == "the PDF has no letter for U+1F393, and shows a box in its place; write the name without it"
    assert (tmp_path / "report.pdf").exists()
