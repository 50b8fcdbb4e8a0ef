"""Predict the code of a picture and render it again. The shipped model reads scenes such as photo.webp."""

import sys
from pathlib import Path

from datagen.images.encoding import decode_image
from model.load import find_model
from model.prediction.predict import Predictor
from render.rerender import Standard, render_codes

photo = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("photo.webp")
out = Path(sys.argv[2] if len(sys.argv) > 2 else "again")
pixels = decode_image(photo.read_bytes(), photo.name)
predictor = Predictor.of(find_model(None))
[prediction] = predictor.predict([(photo.stem, pixels)])
rendered = render_codes({photo.stem: prediction.code}, Standard(width=160, height=120), out)
print(prediction.code, *rendered.warnings, out / f"{photo.stem}.png", sep="\n")
