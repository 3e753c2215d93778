"""Scoring jobs: many transcripts in, results in files, restartable at any moment (docs/batch.md).

    with local_engine(settings, process_count=2) as engine:
        with open_job_folder(out, terms, mode) as folder:
            summary = run_job(read_items(files, reading, folder.sources), engine, output, folder)

Not to be confused with `moodline.batching`, which forms the calls of the inference engine.
"""
