"""Runs the guest's own awk and shell files on this host, through a static busybox, as the guest would."""

import subprocess
from pathlib import Path

# As documented: openshift-examples, content/kubevirt/networking/localnet-fedora-vm.yaml. The password is "redhat".
FEDORA_HASH = (
    "$6$rounds=4096$kmUERoUZHwzYfQMJ$"
    "G70T2Qg24d0XUhu.GTCH7Ia1F0B/B48JqIFdzVfigeMgfG5nsxp3dEWFKokfXGmhuetFXl4l41L8t1AZgEDW0."
)
FEDORA_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEQM82o2imwpHyGVO7DxCNbdE0ZWnkp6oxdawb7/MOCT coe-muc"
FEDORA_USER_DATA = f"""\
#cloud-config

users:
  - name: coe
    lock_passwd: false
    # redhat // mkpasswd --method=SHA-512 --rounds=4096
    hashed_passwd: "{FEDORA_HASH}"
    sudo: ['ALL=(ALL) NOPASSWD:ALL']
    chpasswd: {{ expire: False }}
    groups: wheel
    shell: /bin/bash
    ssh_authorized_keys:
      - {FEDORA_KEY}

packages:
  - httpd

# install puppet (and dependencies); make sure apache and postgres
# both start at boot-time
runcmd:
  - [ systemctl, enable, httpd.service ]
  - [ systemctl, start, httpd.service ]
"""
GUEST = Path(__file__).parents[3] / "lab/embedded/images/guest"


def awk(scripts: list[str], *arguments: str) -> str:
    files = [part for script in scripts for part in ("-f", str(GUEST / script) if "/" not in script else script)]
    done = subprocess.run(
        ["busybox", "awk", *files, *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    assert not done.stderr, done.stderr
    return done.stdout
