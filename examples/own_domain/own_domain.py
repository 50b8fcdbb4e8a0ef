"""Write the files of the guide to new domains into a folder, as a start for a domain of your own."""

import re
import sys
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "new-domain.md"
FILE = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)

out = Path(sys.argv[1] if len(sys.argv) > 1 else "tetra")
out.mkdir(parents=True)
for name, content in FILE.findall(GUIDE.read_text()):
    (out / name).write_text(content)
    print(out / name)
