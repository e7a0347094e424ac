"""`virtlab kind up|down|images`: a cluster of kind with everything that a run needs, made with the ordinary tools.

It generates files and says which commands are run, in order: `kind`, `kubectl`, `helm`, `git` and a container engine do
the work. It touches nothing that it did not make, and knows the cluster it made by a file that its nodes have mounted.
A run (:mod:`lab.run`) knows nothing of it: the two meet at the target file that is written at the end.
"""
