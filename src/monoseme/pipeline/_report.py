"""placeholder while reports land"""


def report_run(run, *, overwrite=False): ...
