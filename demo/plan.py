"""The plan of the simulation as data: issuers, certificates and their issue days, subscriptions, domains and names.

Day 0 is the first night. Negative days are before it, because a platform has history when the pipeline is installed.
"""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

LOGO = (
    "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciIHZpZXdCb3g9IjAgMCA0MCA0MCI+"
    "PHJlY3Qgd2lkdGg9IjQwIiBoZWlnaHQ9IjQwIiByeD0iOCIgZmlsbD0iIzBiNmU2ZSIvPjxwYXRoIGQ9Ik04IDI2bDEyLTE0IDEyIDE0eiIgZmls"
    "bD0iI2ZmZiIvPjwvc3ZnPg=="
)
ISSUERS = (
    ("harbour-academy", "Harbour Academy", LOGO, "#0b6e6e"),
    ("hudson-institute", "Hudson Data Institute", "", ""),
    ("deccan-skills", "Deccan Skills & Trades", "", "#b3471d"),
)
ZONES = {
    "harbour-academy": ZoneInfo("Europe/Berlin"),
    "hudson-institute": ZoneInfo("America/New_York"),
    "deccan-skills": ZoneInfo("Asia/Kolkata"),
}
# The columns of the registry's subscriptions without the time zone, which is that of the issuer.
SUBSCRIPTIONS = (
    ("harbour-weekly", "harbour-academy", "dean@harbour-academy.example", "weekly", "en-GB", "false"),
    ("harbour-monthly", "harbour-academy", "board@harbour-academy.example", "monthly", "en-GB", "false"),
    ("hudson-daily", "hudson-institute", "registrar@hudson.example", "daily", "en-US", "false"),
    ("hudson-weekly", "hudson-institute", "marketing@hudson.example", "weekly", "en-US", "true"),
    ("deccan-weekly", "deccan-skills", "office@deccan.example", "weekly", "en-IN", "false"),
    ("deccan-monthly", "deccan-skills", "principal@deccan.example", "monthly", "en-IN", "false"),
)


@dataclass(frozen=True)
class Certificate:
    """One certificate or badge.

    `batches` are pairs of day and size, `daily` is the number issued every day, and `appeal` scales the engagement.
    """

    certificate_id: str
    issuer_id: str
    name: str
    kind: str
    created_day: int
    appeal: float
    batches: tuple[tuple[int, int], ...] = ()
    daily: int = 0


def _every_week(first: int, *sizes: int) -> tuple[tuple[int, int], ...]:
    return tuple((first + 7 * week, size) for week, size in enumerate(sizes))


# Appeal follows the order of Accredible's averages by industry: bootcamps above courses above events
# (visit rates of 68, 61 and 47 %: https://help.accredible.com/company-average-comparison).
CERTIFICATES = (
    Certificate("sql-analysis", "harbour-academy", "Data Analysis with SQL", "certificate",
                created_day=-60, appeal=1.08, batches=_every_week(-4, 60, 180, 170, 190, 180)),
    Certificate("project-management", "harbour-academy", "Project Management Fundamentals", "certificate",
                created_day=-45, appeal=1.0, batches=((-2, 30), (12, 140), (26, 110))),
    Certificate("first-aid", "harbour-academy", "First Aid at Work", "badge",
                created_day=-1, appeal=0.85, batches=_every_week(1, 90, 80, 95, 85, 60)),
    Certificate("cloud-security", "harbour-academy", "Cloud Security Practitioner", "certificate",
                created_day=4, appeal=1.05, batches=((5, 130), (19, 140))),
    Certificate("founders-workshop", "harbour-academy", "Founders’ Workshop", "badge",
                created_day=18, appeal=1.1, batches=((20, 4),)),
    Certificate("python-foundations", "hudson-institute", "Python Foundations (self-paced)", "badge",
                created_day=-200, appeal=0.95, daily=9),
    Certificate("machine-learning", "hudson-institute", "Machine Learning Bootcamp", "certificate",
                created_day=-10, appeal=1.12, batches=((0, 210), (14, 230), (28, 150))),
    Certificate("data-summit", "hudson-institute", "Hudson Data Summit: Attendee", "badge",
                created_day=5, appeal=0.72, batches=((6, 360),)),
    Certificate("data-ethics", "hudson-institute", "Data Ethics", "badge", created_day=11, appeal=1.0),
    Certificate("spoken-english", "deccan-skills", "Spoken English, Level B2", "certificate",
                created_day=-30, appeal=1.0, batches=_every_week(2, 120, 115, 125, 120)),
    Certificate("spreadsheets", "deccan-skills", "Spreadsheets & Reporting", "badge",
                created_day=6, appeal=0.9, batches=((7, 180), (21, 190))),
    Certificate("nursing-refresher", "deccan-skills", "Nursing Refresher Course", "certificate",
                created_day=-20, appeal=0.93, batches=((-3, 25), (13, 145))),
)  # fmt: skip

# Receiving domains with their weight among the recipients.
DOMAINS = {
    "freemail.example": 36, "postbox.example": 27, "university.example": 12, "webmail.example": 5,
    "example.com": 6, "harbour-bank.example": 4, "north-insurance.example": 4, "atlas-logistics.example": 5,
    "gmial.com": 0.35, "hotmial.com": 0.2, "yaho.com": 0.15,
}  # fmt: skip
MISTYPED = frozenset({"gmial.com", "hotmial.com", "yaho.com"})
SCANNERS_BY_DOMAIN = {
    "harbour-bank.example": "barracuda",
    "north-insurance.example": "proofpoint",
    "atlas-logistics.example": "plain",
}

_GIVEN = """
    Maria Anna Lukas Leon Emma Sofia Noah Mia Jonas Felix Clara Zoë Élodie Björn Søren Łukasz Paweł
    Agnieszka José Inés Mateo Lucía João Beatriz Çağla Emre Ayşe James Olivia Liam Ava Mason Harper
    Ethan Isabella Aarav Vivaan Diya Ananya Ishaan Kavya Rohan Priya Arjun Meera Sanjay Lakshmi Wei Mei
    Hiroshi Yuki Nguyễn Amara Kwame Fatima Omar Layla Yusuf
"""
_FAMILY = """
    Müller Schmidt Weiß Krüger Lindström Ångström Nowak Kowalska García López Muñoz Fernández Silva
    Araújo Yılmaz Öztürk Smith Johnson Williams Brown Davis O'Connor O'Neill D'Angelo McDonald Sharma
    Patel Iyer Reddy Nair Gupta Singh Das Menon Chen Wang Tanaka Sato Tran Okafor Mensah Haddad Rahman
    Novák Dvořák Papadopoulos Rossi Moreau Lefèvre van-Dijk
"""
GIVEN, FAMILY = _GIVEN.split(), _FAMILY.split()
# Names that break careless templates, quoting and spreadsheets.
AWKWARD = (
    "=SUM(1+1) Tester", "Anna & Ben Schmidt", "<b>Bold</b> Move", "Siobhán O'Neill-Ó Briain",
    'Robert "Bobby" Tables', "محمد الأحمد", "李小龍", "Nguyễn Thị Minh Khai", "X Æ",
    "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff", "Comma, Jr.", "+49 Ltd", "@handle",
)  # fmt: skip
