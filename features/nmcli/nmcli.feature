@nmcli @disruptive @needs:networkmanager @needs:workers>=2 @needs:bridge:br1
Feature: A bridge on the main interface by nmcli, from a debug pod

  The documented way to try out what a node policy would do. `nmcli con down` of the main interface takes away the
  network that the next command would come over, so that all of it runs on the worker as one sequence. That sequence
  waits for a word, which is given over the new bridge, and goes back by itself without it. NetworkManager calls every
  one of these commands a success, whether or not the worker can be reached after it: only packets tell.

  Scenario: The documented nmcli commands put br1 under the worker's own address
    Given debug pods on two workers, and on one of them the documented nmcli commands
    When they are typed, to be kept only if the worker answers within 30 s
    Then the worker answers over the bridge, at its own address
    And nmcli and ip of the worker show what the documentation shows
    And the worker is Ready
    When the bridge is taken back
    Then its profiles and its main interface are as before

  Scenario: A switch-over that costs the worker its network goes back by itself
    Given debug pods on two workers, and on one of them the documented nmcli commands
    When they are typed without the bridge's port, to be kept only if the worker answers within 8 s
    Then the worker, which lost its network, is back by itself 20 s later at most
    And the worker is Ready
    And its profiles and its main interface are as before
