@localnet @needs:workers>=2 @needs:localnet @needs:kubevirt @needs:bond:bond2 @needs:vlan:2024
Feature: Virtual machines on a VLAN, through a localnet network
  The documented set-up: one node policy with an Open vSwitch bridge whose uplink is an LACP bond, one
  localnet network per VLAN, virtual machines with nothing but a port in that VLAN.
  A green policy proves nothing: only packets do. The documented bridge has spanning tree switched on,
  so that every new port of it is dark for 15 s of listening and 15 s of learning, and that is waited for.

  @smoke
  Scenario: VM on VLAN 2024 reaches the gateway
    Given the documented policy ovs-br1-vlan-trunk
    And a VM vm-a on VLAN 2024
    Then vm-a reaches the gateway of VLAN 2024

  @needs:workers>=3 @needs:migration
  Scenario: VM on VLAN 2024 reaches the gateway after live migration
    Given the documented policy ovs-br1-vlan-trunk
    And a VM vm-a on VLAN 2024
    Then vm-a reaches the gateway of VLAN 2024
    When vm-a migrates to a worker it has not been on
    Then vm-a reaches the gateway of VLAN 2024
    When vm-a migrates to a worker it has not been on
    Then vm-a reaches the gateway of VLAN 2024
    When vm-a migrates back to the worker it started on
    Then vm-a reaches the gateway of VLAN 2024
    And vm-a has been on 3 workers and kept its MAC address

  @needs:workers>=3 @needs:migration
  Scenario: Two VMs on VLAN 2024 on different nodes reach each other, before and after one of them moves
    Given the documented policy ovs-br1-vlan-trunk
    And VMs vm-a and vm-b on VLAN 2024 on different workers
    Then vm-a and vm-b reach each other
    When vm-b migrates to another worker
    Then vm-a and vm-b reach each other

  @needs:vlan:1993
  Scenario: A VM on VLAN 1993 does not reach VLAN 2024
    Given the documented policy ovs-br1-vlan-trunk
    And a VM vm-c on VLAN 1993, which also has an address of VLAN 2024
    And a VM vm-a on VLAN 2024
    Then vm-c reaches the gateway of VLAN 1993
    And vm-a reaches the gateway of VLAN 2024
    But vm-c does not reach the gateway of VLAN 2024
    And vm-c does not reach vm-a

  @needs:ssh @needs:outside:vlan-2024
  Scenario: Guest access over SSH and over the serial console give the same answer
    Given the documented policy ovs-br1-vlan-trunk
    And a VM vm-a on VLAN 2024
    Then vm-a answers these commands alike over SSH and over the serial console
      | command                                      |
      | echo reached over either way                 |
      | sh -c 'cat /sys/class/net/e*/address'        |
      | false                                        |
      | sh -c 'echo one; echo two; exit 42'          |
      | ls /does/not/exist                           |

  Scenario: The documented policy applied without its bond is green, and nothing passes
    Given the policy ovs-br1-vlan-trunk is applied without its bond
    And a VM vm-a on VLAN 2024
    And VLAN 2024 is out of spanning tree's listening and learning on every worker
    Then the policy ovs-br1-vlan-trunk is Available on every worker
    But vm-a gets no answer from the gateway of VLAN 2024
    And the cause is named for every worker: bond2 is no uplink
