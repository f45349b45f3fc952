"""Options of ``lightning report``."""

from pathlib import Path

from nested_lightning.cli.parser import CommandParser
from nested_lightning.errors import ConfigurationError

_DESCRIPTION = (
    "Write one HTML page with the metrics, figures, samples and settings of finished runs side by side. It needs no "
    "other file and no network."
)
MARK = '<meta name="generator" content="nested-lightning report">'


def report_command(args: list[str]) -> None:
    """Run ``report RUN [RUN ...] [--out FILE]``.

    Raises:
        ConfigurationError: a mistake in the options, a folder that is no finished run, or a file that cannot be
            written.
        SystemExit: after ``--help``.
    """
    parser = CommandParser("nested-lightning report", description=_DESCRIPTION)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folder of a finished run")
    parser.add_argument(
        "--out", type=Path, default=Path("report.html"), metavar="FILE", help="the page to write (report.html)"
    )
    options = parser.parse_args(args or ["--help"])
    _refuse_other_file(options.out)

    from nested_lightning.cli.report.page import page_of
    from nested_lightning.cli.report.run import read_runs

    page = page_of(read_runs(options.runs))
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{options.out} cannot be written ({error.strerror}): choose another --out") from error
    print(f"Report of {len(options.runs)} run{'s' * (len(options.runs) > 1)}: {options.out.absolute()}")


def _refuse_other_file(file: Path) -> None:
    """Raise unless the file is free or an earlier report, which is written anew."""
    if file.is_dir():
        raise ConfigurationError(f"{file} is a folder: name a file in it with --out, such as {file / 'report.html'}")
    if not file.exists():
        return
    with open(file, encoding="utf-8", errors="replace") as opened:
        if MARK not in opened.read(1000):
            raise ConfigurationError(f"{file} exists and is no report, it would be overwritten: choose another --out")
