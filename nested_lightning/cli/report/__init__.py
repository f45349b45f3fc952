"""The command ``report``: compare runs on one page."""

from pathlib import Path

from nested_lightning.cli.parser import run_command
from nested_lightning.cli.report.page import MARK, page_of
from nested_lightning.cli.report.runs import read_runs
from nested_lightning.errors import ConfigurationError
from nested_lightning.utils.files import replacing


def report_command(args: list[str]) -> None:
    """Run ``report RUN [RUN ...] [--out FILE]``."""
    run_command(report, args or ["--help"], "nested-lightning report")


def report(runs: list[Path], *, out: Path = Path("report.html")) -> None:
    """Write one HTML page with the metrics, figures, samples and settings of finished runs side by side.

    It needs no other file and no network.

    Args:
        runs: folders of finished runs
        out: the page to write
    """
    if out.is_dir():
        raise ConfigurationError(f"{out} is a folder: name a file in it with --out, such as {out / 'report.html'}")
    try:
        if out.exists() and MARK.encode() not in out.read_bytes()[:1000]:
            raise ConfigurationError(f"{out} exists and is not a report: choose another --out")
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written ({error.strerror}): choose another --out") from error
    page = page_of(read_runs(runs))
    with replacing(out, "choose another --out") as temporary:
        Path(temporary).write_text(page, encoding="utf-8")
    print(f"Report of {len(runs)} run{'s' * (len(runs) > 1)}: {out.absolute()}")
