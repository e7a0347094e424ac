"""What NetworkManager and its bus are told, as text: pure, written where both look on any machine."""

from __future__ import annotations

import uuid

BUS = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path={socket}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow send_type="*"/>
    <allow receive_type="*"/>
  </policy>
</busconfig>
"""

CONFIGURATION = """\
# A node of an embedded lab. NetworkManager has {nic} and what it makes itself; OVN, pods and policies have the rest.
[main]
plugins=keyfile
no-auto-default=*
dhcp=internal
dns=none
rc-manager=unmanaged
systemd-resolved=false
hostname-mode=none
auth-polkit=false

[connectivity]
enabled=false

[keyfile]
unmanaged-devices=type:ethernet,except:interface-name:{nic},type:veth,type:tun,type:loopback

# NetworkManager leaves a veth alone, which is what a NIC is here, unless it is told otherwise.
[device-{nic}]
match-device=interface-name:{nic}
managed=1
"""

# As NetworkManager makes it by itself for a wired NIC without a profile (nm-device-ethernet.c, new_default_connection).
PROFILE = """\
[connection]
id={name}
uuid={uuid}
type=ethernet
autoconnect-priority=-999
interface-name={nic}

[ipv4]
method=auto

[ipv6]
addr-gen-mode=stable-privacy
method=auto
"""

# What NetworkManager leaves when it stops. With it, it takes the NIC up with this profile and without interrupting it.
DEVICE = """\
[device]
managed=true
connection-uuid={uuid}
"""

NAME = "Wired connection 1"


def profile_uuid(mac: str) -> str:
    """The identity of the NIC's profile: the same whenever NetworkManager comes up again."""
    return str(uuid.uuid3(uuid.NAMESPACE_OID, f"virtlab wired {mac}"))


def nothing_saved(listed: str, wanted: str) -> bool:
    """Whether ``nmcli -t -f UUID,FILENAME,STATE con show`` has no profile that somebody saved, and ``wanted`` active.

    ``wanted`` is empty when NetworkManager was given no profile."""
    rows = [row.split(":") for row in listed.splitlines()]
    saved = {row[0] for row in rows if row[1].startswith("/etc/")} - {wanted}
    return not saved and (not wanted or any(row[0] == wanted and row[-1] == "activated" for row in rows))


def managed(state: str) -> bool:
    """Whether a link whose file in /run/NetworkManager/devices says this is in NetworkManager's hands."""
    return "managed=true" in state.splitlines()


def leased(state: str) -> bool:
    """Whether that link has its address by DHCP from NetworkManager's client."""
    return managed(state) and "[dhcp4]" in state.splitlines()
