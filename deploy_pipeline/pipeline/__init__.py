"""The Dagster layer: what people see and launch, and what starts by itself.

It holds no logic of deploying. An op calls one function of the core and tells Dagster what came of it::

    cursors, decisions   what a branch sensor has seen, and what it therefore asks for: pure
    sensors, pull_requests, schedules
                         thin shells over that
    config, tags         what a run is told: by the launchpad, a sensor, a schedule or the command line
    stage                what every op does around its one call: progress, errors, tags
    ops, jobs            one op and one job for each step of the flow
    assets, checks       what exists, and whether it is as it should be
    events, metadata     the core's results as Dagster shows them
    catalog              the channels known when the code location is loaded
    launch               the same jobs, run by the command line

Modules with functions that Dagster decorates do not defer their annotations: Dagster reads them as types.
"""
