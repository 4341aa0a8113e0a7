"""What a log comes to, as auditors ask for it: controls, figures, exceptions, trends; as HTML, PDF and JSON.

Pure: records come in, a report goes out; reading, verifying and writing files are the command's.
`html` and `pdf` are rooms to be asked for by themselves: what draws takes long to load.
"""

from firewall.report.document import document
from firewall.report.figures import Figures
from firewall.report.frameworks import FRAMEWORKS, Control, Framework
from firewall.report.model import Head, Proof, Report

__all__ = [
    "FRAMEWORKS",
    "Control",
    "Figures",
    "Framework",
    "Head",
    "Proof",
    "Report",
    "document",
]
