"""The report: what it reads, what it refuses, and what a browser makes of it."""

import errno
import json
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser
from pathlib import Path

import pytest
import torch
from helpers.commands import refused, run
from helpers.toy import backbone, rows, toy_trainer
from torch.utils.data import DataLoader, TensorDataset

from nested_lightning import NestedLightningModule, Taxonomy
from nested_lightning.callbacks import CascadeTraining, Figures, RejectionFineTuning, TemperatureScaling
from nested_lightning.cli.report.runs import read_runs
from nested_lightning.cli.report.tables import differences, level_table, run_table

BOMB = "b0: &b0 x\n" + "".join(f"b{i}: &b{i} [{', '.join([f'*b{i - 1}'] * 9)}]\n" for i in range(1, 12))
SCRIPT = "<script>alert('label')</script>"
HOSTILE = Taxonomy(
    [f"kind {SCRIPT}", 'leaf "><img src=x onerror=alert(1)>'], [(SCRIPT, "$x_{$"), (SCRIPT, "z"), ("b", "</td>&amp;")]
)
TESTS = [
    {"name": name, "strength": strength, "metrics": {f"{level}/{key}": 0.9 - strength for level in HOSTILE.levels
                                                     for key in ("accuracy", "confidence", "ece", "aurc")}}
    for name, strength in (("none", 0.0), (SCRIPT, 0.5))
]  # fmt: skip


def made(root, draw, epochs, **settings):
    x, target = rows(64)
    target = HOSTILE.lift(target[:, 2] % 3, 1)
    loader = DataLoader(TensorDataset(x, target), batch_size=16)
    steps = [CascadeTraining(max_epochs=epochs), RejectionFineTuning(steps=2), TemperatureScaling()]
    module = NestedLightningModule(backbone(), HOSTILE, feature_channels=8, bottleneck_channels=4)
    torch.manual_seed(0)
    toy_trainer(root, *steps, Figures(draw=draw, samples=2)).fit(module, loader, loader)
    (root / "config.yaml").write_text(json.dumps({"seed_everything": 0, "data": settings}))
    (root / "figures").mkdir(exist_ok=True)
    (root / "figures" / "distortions.json").write_text(json.dumps({"levels": HOSTILE.levels, "tests": TESTS}))
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    drawn = made(root / f"first {SCRIPT.replace('/', '_')}", "stages", 1, source=SCRIPT, batch_size=32)
    return [drawn, made(root / "second", "never", 2, source="digits", batch_size=32)]


@pytest.fixture(scope="module")
def page(runs, tmp_path_factory):
    file = tmp_path_factory.mktemp("out") / "new" / "report.html"
    run("report", *runs, "--out", file)
    run("report", *runs, "--out", file)  # an earlier report is written anew
    return file


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.text, self.attributes = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_data(self, data):
        self.text.append(data.strip())


def test_tables_have_the_figures_of_the_runs(runs):
    read = read_runs(runs)
    table = level_table(read)
    assert [row[1].text for row in table.rows] == list(HOSTILE.levels) * 2
    summary = json.loads((runs[1] / "summary.json").read_text())
    for row, level in zip(table.rows[2:], HOSTILE.levels, strict=True):
        for heading, cell in zip(table.headings[3:], row[3:], strict=True):
            name, before = re.fullmatch(r"(\w+)( before calibration)?, %", heading).groups()
            value = summary["before" if before else "after"][f"{level}/{name.lower()}"]
            assert cell == (f"{100 * value:.2f}", value)
    paths = dict(zip(run_table(read).headings, run_table(read).rows[1], strict=True))
    assert paths["epochs"].text == f"2 {HOSTILE.levels[0]} + 2 {HOSTILE.levels[1]}"
    assert paths["measured on"].text == "64 validation samples"
    after, before = (100 * summary[when]["path/f1"] for when in ("after", "before"))
    assert paths["F1, %"].text == f"{after:.2f} ({before:.2f})"


def test_settings_that_differ(runs):
    read = read_runs(runs)
    assert [[cell.text for cell in row] for row in differences(read, "settings").rows] == [
        ["data.source", SCRIPT, "digits"]
    ]
    assert not differences(read, "versions").rows
    alone = [row[0].text for row in differences(read[:1], "settings").rows]
    assert alone == ["seed_everything", "data.source", "data.batch_size"]


def test_the_page_holds_all_it_shows_and_escapes_every_text(page, runs):
    elements = Elements(page.read_text(encoding="utf-8"))
    assert elements.tags.count("script") == 1
    sources = [value for tag, name, value in elements.attributes if name in ("src", "href")]
    assert all(source.startswith(("data:", "#")) for source in sources)
    pictures = [source for source in sources if source.startswith("data:image/png;base64,")]
    assert len(pictures) == len(list(runs[0].rglob("*.png"))) + 1  # and the runs under distortions
    assert not any(name.startswith("on") for _, name, _ in elements.attributes)
    for text in (*HOSTILE.levels, SCRIPT):
        assert text in elements.text


def test_figures_of_distortions_are_below_their_heading(tmp_path, runs):
    shutil.copytree(runs[1], tmp_path / "run")
    (tmp_path / "run" / "figures" / "distortions.png").write_bytes(png(2, 2))
    run("report", tmp_path / "run", "--out", tmp_path / "page.html")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.index('id="distortions"') < text.index("Accuracy and confidence against") < text.index('id="figures"')
    assert text.count("<h3>Accuracy and confidence against distortion") == 1


def test_what_it_refuses(capsys, tmp_path, runs):
    second = runs[1]
    assert "no folder" in refused(capsys, "report", tmp_path / "nothing")
    assert "has no summary.json" in refused(capsys, "report", second, tmp_path)
    assert "given twice" in refused(capsys, "report", second, second)
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert "is not finished" in refused(capsys, "report", tmp_path)
    (tmp_path / "summary.json").write_text("[")
    assert "summary.json cannot be read (JSONDecodeError)" in refused(capsys, "report", tmp_path)
    (tmp_path / "summary.json").write_text("{}")
    assert "was not written by fit" in refused(capsys, "report", tmp_path)
    (tmp_path / "notes.html").write_text("mine")
    assert "is not a report" in refused(capsys, "report", second, "--out", tmp_path / "notes.html")
    assert (tmp_path / "notes.html").read_text() == "mine"
    assert "is a folder" in refused(capsys, "report", second, "--out", tmp_path)
    assert "cannot be written" in refused(capsys, "report", second, "--out", tmp_path / "notes.html" / "new")
    assert "Did you mean '--out'?" in refused(capsys, "report", second, "--output", tmp_path / "a.html")


@pytest.mark.parametrize(("file", "text", "message"), [
    ("config.yaml", BOMB, "aliases stand for more than 100,000"),
    ("config.yaml", "- a\n", "holds no options"),
    ("config.yaml", "a: " + "[" * 5000, "nested more than 100 deep"),
    ("summary.json", "[" * 100_000, "summary.json cannot be read (RecursionError)"),
    ("summary.json", '{"levels": ["a"], "after": {}, "epochs": []}', "was not written by fit"),
    ("figures/distortions.json", '{"tests": [{"name": "fog", "strength": 1, "metrics": {"a": "b"}}]}', "by test"),
    ("figures/distortions.json", "[]", "by test"),
])  # fmt: skip
def test_files_of_somebody_else(file, text, message, capsys, tmp_path, runs):
    shutil.copytree(runs[1], tmp_path / "run")
    (tmp_path / "run" / file).write_text(text)
    assert message in refused(capsys, "report", tmp_path / "run", "--out", tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_links_out_of_the_folder_are_not_followed(capsys, tmp_path, runs):
    shutil.copytree(runs[1], tmp_path / "run")
    (tmp_path / "secret.yaml").write_text("password: hunter2\n")
    (tmp_path / "run" / "config.yaml").unlink()
    (tmp_path / "run" / "config.yaml").symlink_to(tmp_path / "secret.yaml")
    assert "config.yaml is a link out of" in refused(
        capsys, "report", tmp_path / "run", "--out", tmp_path / "page.html"
    )
    (tmp_path / "link").symlink_to(runs[1])  # a link to a run is fine
    run("report", tmp_path / "link", "--out", tmp_path / "page.html")


def png(width, height):
    chunks = [b"IHDR" + struct.pack(">II", width, height) + bytes([8, 2, 0, 0, 0]), b"IDAT", b"IEND"]
    packed = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def test_figures_that_cannot_be_shown_are_left_out_and_named(capsys, tmp_path, runs):
    shutil.copytree(runs[0], tmp_path / "run")
    figures = tmp_path / "run" / "figures"
    kept = {path.relative_to(figures).with_suffix("").as_posix() for path in figures.rglob("*.png")}
    (figures / "a.png").write_text("<svg>")
    (figures / "b.png").write_bytes(png(100_000, 100_000))
    (figures / "c.png").symlink_to(next(runs[0].rglob("*.png")))
    (figures / "d.png").mkdir()
    message = rf"^4 of {len(kept) + 4} figures of .*a\.png is not a PNG.*, and 1 more"
    with pytest.warns(UserWarning, match=message) as told:
        (read,) = read_runs([tmp_path / "run"])
    assert "b.png has more than 50 million pixels, figures/c.png is a link out of the folder" in str(told[0].message)
    assert read.figures.keys() == kept
    with pytest.warns(UserWarning, match="are left out"):
        run("report", tmp_path / "run", "--out", tmp_path / "page.html")


def test_a_page_that_cannot_be_written_leaves_nothing(capsys, tmp_path, runs, monkeypatch):
    def full(self, *args, **options):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert "No space left" in refused(capsys, "report", runs[1], "--out", tmp_path / "page.html")
    assert list(tmp_path.iterdir()) == []


def test_names_tell_runs_apart(tmp_path, runs):
    for place in ("a", "b"):
        shutil.copytree(runs[1], tmp_path / place / "run")
    assert [r.name for r in read_runs([tmp_path / "a" / "run", tmp_path / "b" / "run"])] == ["a/run", "b/run"]


@pytest.fixture
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip(f"no Chromium on the PATH ({', '.join(names)}): install one, such as by apt-get install chromium")
    with playwright.sync_playwright() as api:
        # The sandbox needs user namespaces, which containers do not have.
        chromium = api.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_in_chromium(browser, page):
    tab = browser.new_page()
    complaints, requests = [], []
    tab.on("console", lambda message: complaints.append(message.text))
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    tab.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: requests.append(request.url))
    tab.goto(page.as_uri(), wait_until="load")
    assert [url for url in requests if not url.startswith("data:")] == [page.as_uri()]
    sizes = tab.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(sizes) > 10 and min(sizes) > 0

    def column(i):
        return tab.locator(f"#levels tbody td:nth-child({i})").all_inner_texts()

    heading = tab.locator("#levels th", has_text="ECE before")
    for direction, reverse in (("ascending", False), ("descending", True)):
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == direction
        values = list(map(float, column(9)))
        assert len(set(values)) > 1 and values == sorted(values, reverse=reverse)
    tab.locator("#levels th", has_text="level").get_by_role("button").press("Enter")
    assert column(2) == sorted(column(2))
    assert heading.get_attribute("aria-sort") is None
    picture = tab.locator("#figures figure img").first
    picture.click()
    assert "large" in picture.locator("..").get_attribute("class")
    assert tab.locator("#levels td", has_text=SCRIPT).count() > 0
    assert complaints == []
