"""The whole flow on one machine, to watch or to check: ``python -m deploy_pipeline.demo [--check]``.

Nothing in here takes a short cut. Pushes are git pushes, what runs was started by Dagster's sensors or launched as the
UI launches it, and what the clusters run is asked of them with kubectl and helm::

    home         the folder that a demo keeps everything in
    processes    starting processes, noticing that one died, ending all of them
    waiting      the one place where time passes
    repository   the bare repository that is deployed, and a person's clone of it
    clusters     the clusters of the channels, as a person asks them
    dagster_api  Dagster, as its UI talks to it
    world        all of these, started
    story        what happens, step by step, and what must be true after each
    check        the story without a person
    guide        what a person is told
"""
