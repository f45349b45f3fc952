"""The command ``report``: compare runs on one page."""

from pathlib import Path

from nested_lightning.cli.parser import run_command
from nested_lightning.cli.report.page import MARK, page_of
from nested_lightning.cli.report.run import read_runs
from nested_lightning.errors import ConfigurationError


def report_command(args: list[str]) -> None:
    """Run ``report RUN [RUN ...] [--out FILE]``.

    Raises:
        ConfigurationError: an option is wrong, a folder is not a finished run, or the page cannot be written.
        SystemExit: after ``--help``.
    """
    run_command(report, args or ["--help"], "nested-lightning report")


def report(runs: list[Path], *, out: Path = Path("report.html")) -> None:
    """Write one HTML page with the metrics, figures, samples and settings of finished runs side by side.

    It needs no other file and no network.

    Args:
        runs: folders of finished runs
        out: the page to write
    """
    _refuse_other_file(out)
    page = page_of(read_runs(runs))
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written ({error.strerror}): choose another --out") from error
    print(f"Report of {len(runs)} run{'s' * (len(runs) > 1)}: {out.absolute()}")


def _refuse_other_file(file: Path) -> None:
    """Raise unless the file is free or an earlier report, which may be overwritten."""
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder: name a file in it with --out, such as {file / 'report.html'}")
    if not file.exists():
        return
    with open(file, encoding="utf-8", errors="replace") as opened:
        if MARK not in opened.read(1000):
            raise ConfigurationError(f"{file} exists and is not a report: choose another --out")
