r"""Other methods on the same texts, and runs of this package in the same table.

Run from the root of the repository; the extra ``benchmarks`` installs what it needs.

Example:
    python -m benchmarks.peers --source "[DIR1,DIR2]" --label_columns "[l1,l2,l3]" --test_source DIR1 \
        --runs nested=runs/nested-1,runs/nested-2 flat_network=runs/flat-1,runs/flat-2
"""
