"""The hours that a data set takes, by number of cores, and its bytes, computed from the cost of one sample.

    python benchmarks/scale.py --core-seconds 1.5 --bytes 90000

`--core-seconds` is what benchmarks/generate.py measures (cores times seconds, divided by samples), `--bytes` what `igllm inspect` reports
for a rendered set (bytes divided by samples). Prints the table of docs/scale.md.
"""

from __future__ import annotations

import argparse

CORES = (2, 16, 64, 256, 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core-seconds", type=float, required=True, help="core-seconds a sample")
    parser.add_argument("--bytes", type=float, required=True, help="bytes a sample, in the shard")
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--shard-size", type=int, default=1000)
    options = parser.parse_args()
    seconds, shards = options.samples * options.core_seconds, -(-options.samples // options.shard_size)
    size, shard = options.samples * options.bytes / 1e9, options.shard_size * options.bytes / 1e6
    print(f"{options.samples:,} samples: {seconds / 3600:,.0f} core-hours, {size:,.1f} GB in {shards:,} shards of {shard:,.0f} MB\n")
    print("| cores | hours | samples a second | MB a second written |\n|---|---|---|---|")
    for cores in CORES:
        rate = cores / options.core_seconds
        print(f"| {cores:,} | {options.samples / rate / 3600:,.1f} | {rate:,.1f} | {rate * options.bytes / 1e6:,.1f} |")


if __name__ == "__main__":
    main()
