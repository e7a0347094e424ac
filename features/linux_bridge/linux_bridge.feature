@linux_bridge @disruptive @needs:disruptive @needs:nmstate @needs:bridge:br1 @needs:network:machine
Feature: A Linux bridge over the main interface of every worker
  The documented policy puts ens3, which carries the node's own address, under br1, which asks for an address by DHCP.
  The documentation says that all nodes are restarted. None is: the address moves within a moment, and a node that gets
  none within the time of nmstate's probes is rolled back.

  Scenario: The main interface goes under br1, and the address of the node with it
    Given the main interface carries the address of every worker
    When the documented policy br1-ens3-policy-workers is applied
    Then the policy br1-ens3-policy-workers is Available on every worker
    And br1 carries the address of every worker, over the main interface and without spanning tree
    And every worker reaches the gateway of the network machine
    And every worker reaches the API servers
    And every worker stayed Ready

  Scenario: Taken back, the policy gives the address to the main interface again
    Given the network of every worker is known as it was without any policy
    And the documented policy br1-ens3-policy-workers
    When the policy br1-ens3-policy-workers is taken back
    Then the main interface carries the address of every worker
    And the network of every worker is as it was before
    And every worker reaches the gateway of the network machine
    And every worker reaches the API servers
    And every worker stayed Ready

  @needs:faults @needs:outside:machine
  Scenario: Where no DHCP server answers, the policy is rolled back and Degraded
    Given the main interface carries the address of every worker
    And the DHCP server of the network machine answers nobody
    When the policy br1-ens3-policy-workers is applied, which need not succeed
    Then the policy br1-ens3-policy-workers is Degraded, since "failed runnig probe 'api-server'", and the worker is named
    And the main interface carries the address of every worker
    And the network of every worker is as it was before
    And every worker reaches the gateway of the network machine
    And every worker reaches the API servers
    And every worker is Ready
