"""Whether guests run with KVM. A machine may have /dev/kvm and yet hang every guest, so a probe has to boot first."""

import os
import shutil
import tempfile
from pathlib import Path

from lab.chroot import is_foreign
from lab.guest import Guest
from lab.images import LAB, Image

PROBE_LIMIT = 60


def choose(image: Image) -> str:
    """ "kvm" or "tcg" (emulation). The probe's outcome holds until this machine boots again."""
    if is_foreign(image.distribution.architecture) or not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    known = LAB / "accelerator"
    if not known.exists() or not known.read_text().startswith(boot):
        known.write_text(f"{boot} {probe(image)}\n")
    return known.read_text().split()[1]


def probe(image: Image) -> str:
    folder = Path(tempfile.mkdtemp(prefix="probe-", dir=LAB))
    guest = Guest(image, folder, "kvm")
    try:
        took = guest.boot(PROBE_LIMIT)
        print(f"-- KVM: a probe guest booted in {took:.0f} s", flush=True)
        return "kvm"
    except (AssertionError, OSError) as error:
        reason = str(error).splitlines()[0]
        print(f"-- emulation instead of KVM: a probe guest did not boot: {reason}", flush=True)
        return "tcg"
    finally:
        guest.close()
        shutil.rmtree(folder, ignore_errors=True)
