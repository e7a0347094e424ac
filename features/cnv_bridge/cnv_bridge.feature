@cnv_bridge @needs:nmstate @needs:multus @needs:kubevirt @needs:network:machine
Feature: Virtual machines on a Linux bridge of the nodes, through cnv-bridge
  The documented attachment tuning-bridge-fixed: br1 of the worker, which the documented policy puts over the main
  interface, so that a virtual machine has a port in the workers' own network.
  Its annotation makes the scheduler ask for a worker that has br1. Without it a plugin that misses its bridge makes
  one that leads nowhere, and the virtual machine runs, green and alone.

  Scenario: Where no worker has br1 a VM on it finds no worker
    Given no worker has a Linux bridge br1
    And a VM vm-a on the network machine through tuning-bridge-fixed
    Then vm-a finds no worker, since "Insufficient bridge.network.kubevirt.io/br1"

  @disruptive @needs:bridge:br1 @needs:migration
  Scenario: A VM on br1 reaches the workers' network, before and after live migration
    Given the documented policy br1-ens3-policy-workers
    And a VM vm-a on the network machine through tuning-bridge-fixed
    Then vm-a reaches the gateway of the network machine
    When vm-a migrates to another worker
    Then vm-a reaches the gateway of the network machine
    And vm-a has been on 2 workers and kept its MAC address

  @disruptive @needs:bridge:br1
  Scenario: macspoofchk stops what a VM sends with a foreign MAC address, and nothing else
    Given the documented policy br1-ens3-policy-workers
    And a VM vm-b on the network machine through tuning-bridge-spoofchk
    And a VM vm-a on the network machine through tuning-bridge-fixed
    Then vm-b reaches the gateway of the network machine
    When vm-b takes the MAC address 02:00:00:66:66:0b
    Then vm-b gets no answer from the gateway of the network machine
    When vm-b takes its own MAC address back
    Then vm-b reaches the gateway of the network machine
    When vm-a takes the MAC address 02:00:00:66:66:0a
    Then vm-a reaches the gateway of the network machine

  @disruptive @needs:bridge:br1
  Scenario: A vlan in the attachment tags, or is refused with the reason
    Given the documented policy br1-ens3-policy-workers
    And a VM vm-a on the network machine through tuning-bridge-fixed
    And a VM vm-c on the network machine through tuning-bridge-vlan
    Then vm-a reaches the gateway of the network machine
    But the VLAN 2024 of its attachment keeps vm-c from the network machine, or it is refused
