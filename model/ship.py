"""Copy the model of a finished run to where the package ships it: python -m model.ship RUN model/weights/NAME

The weights are stored at half precision, which halves the file and rounds values by at most one in two thousand: no figure of a model card
changes. A model that is loaded from them still computes in float32.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from datagen.domains.registry import get_domain
from datagen.errors import UserError
from datagen.io.declared import to_plain
from datagen.io.files import write_json
from model.load import file_digests, load_model, model_digest
from model.prediction.certainty.calibration import CALIBRATION_FILE, of_model, read_calibration
from model.staging import WEIGHTS_FILE

FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
MOST_BYTES = 20_000_000  # that a repository should carry


def ship(run: Path, out: Path) -> None:
    """Write the finished model in the folder `run` to `out`; `UserError` if it is not a whole one, or too large to ship."""
    loaded = load_model(run, "cpu")  # UserError for a damaged model
    calibration = read_calibration(run, loaded.digest, get_domain(loaded.model.config.domain))
    halved = {name: value.half() if value.is_floating_point() else value for name, value in load_file(run / WEIGHTS_FILE).items()}
    size = sum(value.numel() * value.element_size() for value in halved.values())
    if size > MOST_BYTES:
        raise UserError(f"{run}: {size / 1e6:.0f} MB of weights at half precision; what is shipped has at most {MOST_BYTES / 1e6:.0f}")
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        if (run / name).exists():
            shutil.copyfile(run / name, out / name)
    save_file(halved, out / WEIGHTS_FILE, metadata={"format": "pt"})
    if calibration is not None:
        write_json(out / CALIBRATION_FILE, to_plain(of_model(calibration.stated, model_digest(file_digests(out)))))


if __name__ == "__main__":
    try:
        ship(Path(sys.argv[1]), Path(sys.argv[2]))
    except (IndexError, UserError) as error:
        sys.exit(__doc__.splitlines()[0] if isinstance(error, IndexError) else str(error))
