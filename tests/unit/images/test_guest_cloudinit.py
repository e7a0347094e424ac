"""What the guest makes of cloud-init data: the calls its shell will run, and what it says it does not do."""

from pathlib import Path

import pytest
from guestfiles import FEDORA_HASH, FEDORA_KEY, FEDORA_USER_DATA, awk

SCRIPTS = ["yaml.awk", "network.awk", "cloudinit.awk"]


def calls(folder: Path, nics: str = "eth0 eth1", **files: str) -> list[list[str]]:
    for name, text in files.items():
        (folder / name.replace("_", "-")).write_text(text)
    out = awk(SCRIPTS, "-v", f"dir={folder}", "-v", f"nics={nics}", "-v", "user=fedora")
    statements: list[list[str]] = [[]]
    for token in _tokens(out):
        if token == "\n":
            statements.append([])
        else:
            statements[-1].append(token)
    return [s for s in statements if s and s[0].startswith("ci_") and not s[0].endswith("()")]


def _tokens(script: str) -> list[str]:
    """Words and line ends, as the shell would read them: single quotes and backslashes, the only quoting used."""
    tokens, word, quoted, begun, at = [], "", False, False, 0
    while at < len(script):
        c = script[at]
        if quoted:
            if c == "'":
                quoted = False
            else:
                word += c
        elif c == "'":
            quoted = begun = True
        elif c == "\\":
            at += 1
            word += script[at]
        elif c in " \n":
            if word or begun:
                tokens.append(word)
            word, begun = "", False
            if c == "\n":
                tokens.append("\n")
        else:
            word += c
        at += 1
    return tokens


def says(found: list[list[str]]) -> list[str]:
    return [call[1] for call in found if call[0] == "ci_say"]


SHORT = """\
#cloud-config
user: fedora
password: fedora
chpasswd: { expire: False }
ssh_authorized_keys:
  - ssh-ed25519 AAAA me@host
packages:
  - qemu-guest-agent
runcmd:
  - [ systemctl, start, "it's" ]
  - echo done
"""


def test_the_documented_fedora_vm(tmp_path: Path) -> None:
    network = "version: 2\nethernets:\n  eth0:\n    dhcp4: true\n"
    meta = '{"instance-id":"i","local-hostname":"fedora"}'
    found = calls(tmp_path, "eth0", user_data=FEDORA_USER_DATA, meta_data=meta, network_config=network)
    assert ["ci_hostname", "fedora", ""] in found
    assert ["ci_nic", "eth0", "eth0"] in found
    assert ["ci_dhcp", "eth0"] in found
    assert ["ci_user", "coe", "", "", "", "/bin/bash"] in found
    assert ["ci_groups_of", "coe", "wheel"] in found
    assert ["ci_sudo", "coe"] in found
    assert ["ci_password", "coe", "hash", FEDORA_HASH, "0"] in found
    assert ["ci_key", "coe", FEDORA_KEY] in found
    assert ["ci_runcmd", "'systemctl' 'enable' 'httpd.service'"] in found
    assert ["ci_ssh", "0", "0"] in found
    assert not [call for call in found if call[:2] == ["ci_user", "fedora"]]
    assert says(found) == [
        "not supported here: packages (httpd)",
        "users: chpasswd (of coe) has no effect: it is a key of its own, not one of a user",
    ]


def test_the_short_form_of_one_user(tmp_path: Path) -> None:
    found = calls(tmp_path, user_data=SHORT, meta_data='{"instance-id":"i","local-hostname":"vm-a"}')
    assert ["ci_hostname", "vm-a", ""] in found
    assert ["ci_user", "fedora", "", "", "", ""] in found
    assert ["ci_sudo", "fedora"] in found
    assert ["ci_password", "fedora", "text", "fedora", "0"] in found
    assert ["ci_key", "fedora", "ssh-ed25519 AAAA me@host"] in found
    assert ["ci_runcmd", "'systemctl' 'start' 'it'\\''s'"] in found
    assert ["ci_runcmd", "echo done"] in found
    assert ["ci_ssh", "0", "0"] in found
    assert says(found) == ["not supported here: packages (qemu-guest-agent)"]


def test_users_in_full(tmp_path: Path) -> None:
    text = """\
#cloud-config
hostname: red
users:
- name: anna
  gecos: Anna A.
  hashed_passwd: $6$salt$hash
  lock_passwd: false
  groups: [wheel, adm]
  sudo: ['ALL=(ALL) NOPASSWD:ALL']
  shell: /bin/bash
  ssh-authorized-keys: [ssh-rsa AAA]
- name: locked
  passwd: $6$salt$hash
- name: root
  ssh_authorized_keys: [ssh-rsa ROOT]
  sudo: ALL=(root) /usr/bin/less
  expiredate: '2030-01-01'
ssh_pwauth: true
"""
    found = calls(tmp_path, user_data=text)
    assert ["ci_user", "anna", "", "Anna A.", "", "/bin/bash"] in found
    assert ["ci_groups_of", "anna", "wheel,adm"] in found
    assert ["ci_password", "anna", "hash", "$6$salt$hash", "0"] in found
    assert ["ci_key", "anna", "ssh-rsa AAA"] in found
    assert ["ci_password", "locked", "hash", "$6$salt$hash", "1"] in found
    assert ["ci_ssh", "1", "1"] in found
    assert not [call for call in found if call[:2] == ["ci_user", "fedora"]]
    assert says(found) == [
        "users: the password of locked is locked: lock_passwd: false would open it",
        "not supported here: users: expiredate (of root)",
        "not supported here: sudo rules for single commands (of root): ALL=(root) /usr/bin/less",
    ]


def test_without_data_the_default_user_is_locked_and_the_first_nic_asks_dhcp(tmp_path: Path) -> None:
    found = calls(tmp_path)
    assert ["ci_nic", "eth0", "enp1s0"] in found
    assert ["ci_nic", "eth1", "enp2s0"] in found
    assert [call for call in found if call[0] == "ci_dhcp"] == [["ci_dhcp", "enp1s0"]]
    assert ["ci_user", "fedora", "", "", "", ""] in found
    assert not [call for call in found if call[0] == "ci_password"]


def test_network_version_2(tmp_path: Path) -> None:
    text = """\
version: 2
ethernets:
  enp1s0: {dhcp4: true}
  second:
    match: {name: "enp2*"}
    set-name: data0
    mtu: 1400
    addresses: [192.168.24.100/24, "fd00::5/64"]
    gateway4: 192.168.24.1
    routes: [{to: 10.0.0.0/8, via: 192.168.24.9, metric: 50}, {to: 0.0.0.0/0, via: 192.168.24.7, on-link: true}]
    nameservers: {addresses: [8.8.8.8], search: [lab.test]}
    wakeonlan: true
    dhcp6: true
bonds: {}
"""
    found = calls(tmp_path, network_config=text)
    assert ["ci_nic", "eth1", "data0"] in found
    assert ["ci_dhcp", "enp1s0"] in found
    assert ["ci_up", "data0", "1400"] in found
    assert ["ci_addr", "data0", "192.168.24.100/24"] in found
    assert ["ci_addr", "data0", "fd00::5/64"] in found
    assert ["ci_route", "data0", "default", "192.168.24.1", ""] in found
    assert ["ci_route", "data0", "10.0.0.0/8", "192.168.24.9", "50", "0"] in found
    assert ["ci_route", "data0", "default", "192.168.24.7", "", "1"] in found
    assert ["ci_dns", "8.8.8.8"] in found
    assert says(found) == [
        "not supported here: network-config: bonds",
        "not supported here: network-config: second: wakeonlan",
        "not supported here: network-config: second: dhcp6 (router advertisements are heeded)",
    ]


def test_names_of_images_without_predictable_names_mean_the_same_nics(tmp_path: Path) -> None:
    found = calls(tmp_path, network_config="version: 2\nethernets:\n  eth1: {addresses: [10.0.0.2/24]}\n")
    assert ["ci_nic", "eth0", "enp1s0"] in found
    assert ["ci_nic", "eth1", "eth1"] in found
    assert ["ci_addr", "eth1", "10.0.0.2/24"] in found


def test_a_nic_that_is_not_there_is_said_with_those_that_are(tmp_path: Path) -> None:
    text = (
        "version: 2\nethernets:\n  ens5: {dhcp4: true}\n  b: {match: {macaddress: '02:00:00:00:00:01'}, dhcp4: true}\n"
    )
    found = says(calls(tmp_path, nics="eth0", network_config=text))
    assert found[0].startswith("network-config: ens5: no NIC with name ens5 here; there are: enp1s0 (")
    assert found[1].startswith("network-config: b: no NIC with MAC 02:00:00:00:00:01 here")


def test_network_version_1(tmp_path: Path) -> None:
    text = """\
network:
  version: 1
  config:
  - type: physical
    name: eth0
    subnets:
    - {type: static, address: 192.168.24.5, netmask: 255.255.252.0, gateway: 192.168.24.1, dns_nameservers: [1.1.1.1]}
  - type: physical
    name: enp2s0
    subnets: [{type: dhcp}]
  - {type: nameserver, address: 9.9.9.9}
  - {type: bond, name: bond0}
"""
    found = calls(tmp_path, network_config=text)
    assert ["ci_addr", "eth0", "192.168.24.5/22"] in found
    assert ["ci_route", "eth0", "default", "192.168.24.1", ""] in found
    assert ["ci_dhcp", "enp2s0"] in found
    assert [call[1] for call in found if call[0] == "ci_dns"] == ["9.9.9.9", "1.1.1.1"]
    assert says(found) == ["not supported here: network-config: version 1, type bond"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("#cloud-config\na: [\n", "user-data: cannot read it, line 2: the text ends inside a bracket or a quote;"
         " nothing of it is done"),
        ("#cloud-config\n- a\n", "user-data: wanted `key: value` pairs, found a seq"),
        ("hostname: x\n", "user-data: the first line must be #cloud-config or #!..., found: hostname: x"),
        ("Content-Type: multipart/mixed\n", "not supported here: user-data in several parts (MIME)"),
        ("#include\nhttp://x\n", "not supported here: user-data of type #include"),
        ("#cloud-config\nruncmd: echo\n", "runcmd: wanted a list, found a str; not done"),
        ("#cloud-config\nnetwork: {version: 2}\n", "network: in user-data has no effect: it belongs into networkData"),
        ("#cloud-config\nusers: [{sudo: x}]\n", "users: item 1 has no name; not done"),
        ("#cloud-config\npassword: x\n", "not supported here: chpasswd: expire: true (the password of fedora would have"
         " to be changed at the first login; it stays)"),
    ],
)  # fmt: skip
def test_what_is_not_done_is_said(text: str, said: str, tmp_path: Path) -> None:
    assert said in says(calls(tmp_path, user_data=text))


def test_a_script_as_user_data_is_run_late(tmp_path: Path) -> None:
    found = calls(tmp_path, user_data="#!/bin/bash\necho hi\n")
    assert ["ci_script", f"{tmp_path}/user-data"] in found


def test_files_are_written_with_their_owner_when_the_users_are_there(tmp_path: Path) -> None:
    text = """\
#cloud-config
write_files:
- {path: /etc/a, content: "x y\\n", permissions: '0600'}
- {path: /home/fedora/b, content: eA==, encoding: B64, owner: 'fedora:fedora', defer: true, append: true}
- {path: relative, content: x}
"""
    found = calls(tmp_path, user_data=text)
    assert [call for call in found if call[0] == "ci_write"] == [
        ["ci_write", "/etc/a", "0600", "root:root", "text/plain", "0", "x y\n"],
        ["ci_write", "/home/fedora/b", "0644", "fedora:fedora", "b64", "1", "eA=="],
    ]


def test_words_of_the_data_never_become_shell(tmp_path: Path) -> None:
    evil = "a'; reboot; $(reboot) `reboot` \\"
    found = calls(tmp_path, user_data=f'#cloud-config\nhostname: {evil}\nusers: [{{name: "b\'$(x)"}}]\n')
    assert ["ci_hostname", evil, ""] in found
    assert ["ci_user", "b'$(x)", "", "", "", ""] in found
