@traffic @localnet @needs:workers>=3 @needs:localnet @needs:migration @needs:bond:bond2 @needs:vlan:2024 @needs:outside:vlan-2024
@needs:ssh
Feature: Sentences on looks and on traffic
  In an order in which what a fault breaks besides its own sentence comes after that. Run by the fault matrix.

  Scenario: Looks by every kind of probe
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And VMs vm-a and vm-b on VLAN 2024 on different workers
    Then vm-a reaches the outside host of VLAN 2024 over IPv6
    And vm-a knows the outside host of VLAN 2024 by its own MAC address over IPv6
    And vm-b knows vm-a by its own MAC address
    And vm-a connects to TCP port 22 of vm-b
    And vm-a gets an answer over UDP from the gateway of VLAN 2024
    And vm-a gets an answer over DNS from the outside host of VLAN 2024
    And vm-a gets an answer over HTTP from the outside host of VLAN 2024
    And packets of 1500 bytes pass from vm-a to vm-b in one piece
    And vm-b sends more than 1 Mbit/s to vm-a over TCP

  Scenario: A move under every kind of traffic
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And the gateway of VLAN 2024 pings vm-a all the time
    And a TCP session is open between the gateway of VLAN 2024 and vm-a
    And an SSH session is open to vm-a
    And the outside host of VLAN 2024 listens for announcements of vm-a
    When vm-a migrates to another worker under this traffic
    Then the fabric learned by an announcement where vm-a is
    And vm-a kept its address
    And the TCP session survived
    And the SSH session survived
    And the longest gap is under 5 seconds
    And no gap is longer than the target allows

  Scenario: A busy guest moves as a policy says
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And vm-a keeps writing to 8 MiB of its memory
    And migrations may slow the guest down, and send 8Mi per second
    And the gateway of VLAN 2024 pings vm-a all the time
    When vm-a migrates to another worker under this traffic
    Then vm-a was sent at no more than 8Mi per second
    And the migration was made by pre-copy with auto-converge
    And vm-a reads from its memory what it wrote

  Scenario: Two guests move at the same time
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And VMs vm-a and vm-b on VLAN 2024 on different workers
    And migrations may send 24Mi per second
    And the gateway of VLAN 2024 pings vm-a all the time
    When vm-a and vm-b migrate at the same time under this traffic
    Then they were on their way at the same time

  Scenario: A move is cancelled, then a worker is drained
    Given the policy ovs-br1-vlan-trunk is applied without spanning tree
    And a VM vm-a on VLAN 2024
    And migrations may send 24Mi per second
    And the gateway of VLAN 2024 pings vm-a all the time
    When a migration of vm-a is cancelled in the middle under this traffic
    Then vm-a is still on the worker where it was
    When the worker of vm-a is drained of it under this traffic
    Then vm-a has left that worker
