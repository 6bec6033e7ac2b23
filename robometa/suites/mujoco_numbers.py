"""MuJoCo's numbers for kinds of joints and transmissions, as a model holds them; its enumerations need the library.

From MuJoCo 4 on, members of its enumerations differ from these numbers in `number in (member, ...)`.
"""

FREE, BALL, SLIDE, HINGE = range(4)
"""Kinds of joints, in `jnt_type`; slides and hinges have one position."""
ON_JOINT, JOINT_IN_PARENT, ON_TENDON = 0, 1, 3
"""Kinds of transmissions, in `actuator_trntype`; those up to `JOINT_IN_PARENT` move a joint."""
