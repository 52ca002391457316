"""Every fault that is injected, by the kind of what is broken."""

from __future__ import annotations

from tests.faults import archives, disks, models, pictures, texts
from tests.faults.fault import Fault

CATALOGUE: dict[str, list[Fault]] = {
    "Pictures": pictures.FAULTS,
    "Archives": archives.FAULTS,
    "YAML, CSV and JSON": texts.FAULTS,
    "Model files": models.FAULTS,
    "Disks and folders": disks.FAULTS,
}
FAULTS = [fault for faults in CATALOGUE.values() for fault in faults]
