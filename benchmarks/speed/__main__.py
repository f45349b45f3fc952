"""Run ``benchmarks.speed.NAME`` with the remaining options."""

import argparse
import importlib
import pkgutil

import benchmarks.speed

NAMES = [module.name for module in pkgutil.iter_modules(benchmarks.speed.__path__) if module.name != "__main__"]

if __name__ == "__main__":
    parser = argparse.ArgumentParser("python -m benchmarks.speed", description=benchmarks.speed.__doc__)
    parser.add_argument("name", choices=NAMES, metavar="NAME", help=", ".join(NAMES))
    parser.add_argument("options", nargs=argparse.REMAINDER, help="those of NAME; see `NAME --help`")
    chosen = parser.parse_args()
    importlib.import_module(f"benchmarks.speed.{chosen.name}").main(chosen.options)
