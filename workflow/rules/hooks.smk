"""What a run does before its first job and after its last one."""

import atexit
import shutil
import threading
from contextlib import suppress

import psutil

from bright_pipeline.base.amounts import readable_duration
from bright_pipeline.base.locks import is_locked, lock_holder
from bright_pipeline.base.process import on_end_request
from bright_pipeline.commands.status import job_states, outlook
from bright_pipeline.engine.code_copy import VARIABLE, keep_copy
from bright_pipeline.engine.shards import write_arguments
from bright_pipeline.plan.checks import obstacles, replaced_strategies, skipped_metrics
from bright_pipeline.engine.checks import touch_future_files
from bright_pipeline.engine.records import REFUSED, read_record
from bright_pipeline.engine.reservations import Reservations, remove_states, to_make
from bright_pipeline.plan.publish import ending, not_current, publish

over = threading.Event()  # the run has ended


def check_before_the_first_job():
    """Keep the fingerprints of raw images; stop where something is missing that a job needs."""
    pending = [(job, find(job.wildcards)) for job in pending_jobs() if job.rule.name in all_stages()]
    for job, shard in pending:
        if shard.job.stage.name != job.rule.name:
            stop(f"{job.output[0]}: digest {shard.job.digest} is of {shard.job.stage.name}, not of {job.rule.name}")
    with one_line():
        jobs.fingerprints.keep()
    asked = needed().among([shard for _, shard in pending])
    for line in [*skipped_metrics(asked.jobs), *replaced_strategies(jobs)]:
        print(line, file=sys.stderr)
    if problems := obstacles(jobs, asked):
        stop("\nerror: ".join(problems))
    for job in asked.jobs:
        if job.is_training and job.key in asked.forced:
            if is_locked(job.work):
                stop(f"{job.entry}: {lock_holder(job.work)} trains in {job.work}; wait for it to end, or stop it")
            # A forced training starts from the beginning: its saved states are removed.
            shutil.rmtree(job.work, ignore_errors=True)
    with one_line():
        touch_future_files(str(path) for job in pending_jobs() for path in job.input)
        write_arguments(asked.jobs)
        os.environ[VARIABLE] = str(keep_copy(code))
        if this_run["reservations"] is None:  # no store when the plan was made
            reservations = this_run["reservations"] = Reservations()
            if (other := reservations.take(to_make(asked))) is not None:
                stop(f"another run on this store makes {other} now: start again after it")
    this_run.update(jobs=asked.jobs, start=time.monotonic())
    on_end_request(end_with_jobs)
    schedule_as_jobs_end()
    words = "shows every training of this run, also in another terminal"
    print(f"`bright status {config_file()}` {words}", file=sys.stderr)
    threading.Thread(target=report_progress, daemon=True).start()


def report_progress():
    """Until the run ends, a line on the running jobs: every half a minute, and less often in a run of many hours."""
    seconds = 0
    while not over.wait(max(30, seconds / 40)):
        seconds = time.monotonic() - this_run["start"]
        with suppress(Exception):  # a damaged record is no reason to end
            if line := outlook(job_states(jobs, this_run["jobs"])):
                print(f"{readable_duration(seconds)}: {line}", file=sys.stderr)


def end_with_jobs(number, frame):
    """Pass SIGTERM on to this run's stages, which save their state and end; then end as after Ctrl-C."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if any(word.startswith("bright_pipeline.") for word in process.cmdline()):
                process.terminate()
    raise KeyboardInterrupt  # Snakemake cancels its cluster jobs, and waits for local ones


def show_results():
    """Refresh results/RUN; print what was made, the headline numbers and where the results are."""
    over.set()
    with one_line():
        shown = this_run["published"] = publish(jobs, config_file(), code)
    seconds = time.monotonic() - this_run["start"]
    print(f"\n{ending(jobs, this_run['jobs'], seconds, shown)}\n")


def say_how_to_continue():
    """After a failed or an interrupted run."""
    over.set()
    if has_failed_jobs():
        print("A job failed; its log says why (results/logs).", end=" ")
    print("The same command resumes the run.")


def is_refused(job):
    """Whether a job's GPUs are missing or too small, by its record."""
    return any(read_record(record_path(Path(log))).get(REFUSED) for log in job.log)


never_restart(is_refused)
add_handlers(check_before_the_first_job, show_results, say_how_to_continue)


@atexit.register
def publish_at_the_end():
    """Refresh results/RUN after every real run, also after one that failed or had nothing to make."""
    if has_started():
        try:
            jobs.fingerprints.keep()
            if "published" not in this_run:
                for line in not_current(publish(jobs, config_file(), code)):
                    print(line)
            remove_states(jobs)
        except (OSError, InputError) as error:  # Python ignores exceptions at its exit
            print(f"error: results are not published: {error_line(error) or error}")
