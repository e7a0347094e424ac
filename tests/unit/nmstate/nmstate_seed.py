"""The policies of the documentation that virtlab proves, as literal YAML."""

BONDING_POLICY = """
interfaces:
  - link-aggregation:
      mode: 802.3ad
      port:
        - enp6s0f0
        - enp6s0f1
    name: bond1
    state: up
    type: bond
"""
OVS_BR1 = """
interfaces:
- name: ovs-br1
  description: |-
    A dedicated OVS bridge with bond2 as a port
    allowing all VLANs and untagged traffic
  type: ovs-bridge
  state: up
  bridge:
    allow-extra-patch-ports: true
    options:
      stp: true
    port:
    - name: bond2
ovn:
  bridge-mappings:
  - localnet: vlan-2024
    bridge: ovs-br1
    state: present
  - localnet: vlan-1993
    bridge: ovs-br1
    state: present
"""
BOND2 = """
interfaces:
- name: bond2
  type: bond
  state: up
  link-aggregation:
    mode: 802.3ad
    port: [enp7s0f0, enp7s0f1]
"""
BR1_ENS3 = """
interfaces:
  - name: br1
    description: Linux bridge with ens3 as a port
    type: linux-bridge
    state: up
    ipv4:
      enabled: true
      dhcp: true
    bridge:
      options:
        stp:
          enabled: false
      port:
        - name: ens3
"""
LOCALNET_COE = """
ovn:
  bridge-mappings:
  - localnet: localnet-coe
    bridge: br-ex
    state: present
"""
