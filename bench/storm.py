"""Claim: 1,000 sign-ups at once on the null provider reach "live" at 100 per second or more, on 2 cores.

None lost, none doubled: every sign-up has exactly one live instance, one welcome message, one customer.
Run: `.venv/bin/python bench/storm.py`
"""

from __future__ import annotations

import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from harness import claim, cpu_seconds, processor_time, running_system

SIGN_UPS = 1000
# Before the thousand that count.
WARM_UP = 300
WORKERS = 2
CLIENTS = 16
PER_SECOND = 100
GIVE_UP_SECONDS = 60


def main() -> bool:
    with running_system(PARCELLE_DEMO="0", PARCELLE_WORKERS=str(WORKERS), PARCELLE_TRIAL_PUZZLE="0") as (
        _address,
        home,
    ):
        import django

        django.setup()
        from parcelle.core import context

        context.of_process(context.Platform.COMMANDS)
        from django.db import connection, connections
        from django.utils import timezone
        from procrastinate.contrib.django.models import ProcrastinateWorker

        from parcelle.domain.accounts.models import User
        from parcelle.domain.catalog.models import Plan, Product
        from parcelle.domain.notifications.models import MailboxMail
        from parcelle.domain.provisioning.models import Instance, Operation, Target
        from parcelle.journeys.signup import TrialRequest, start_trial

        Target.objects.create(name="local", provider="null", capacity=100_000)
        product = Product.objects.create(slug="nothing", name="Nothing", blueprint="tryton", target_name="local")
        plan = Plan.objects.create(product=product, slug="trial", name="Trial")

        def sign_up(number: int) -> uuid.UUID:
            request = TrialRequest(
                submission=uuid.uuid4(),
                email=f"storm-{number}@example.com",
                first_name="Awa",
                last_name="Ndiaye",
                company=f"Company {number}",
                phone="",
                plan_id=plan.pk,
                language="fr",
            )
            try:
                return start_trial(request, now=timezone.now()).instance_id
            finally:
                connections.close_all()

        # What has been running for a while: everything imported, connections open in all threads of all processes, and
        # each of them knows its statements. A connection plans a statement ten times before it keeps a plan.
        while ProcrastinateWorker.objects.count() < WORKERS:
            time.sleep(0.2)
        with ThreadPoolExecutor(CLIENTS) as clients:
            list(clients.map(sign_up, range(SIGN_UPS, SIGN_UPS + WARM_UP)))
        while MailboxMail.objects.count() < WARM_UP:
            time.sleep(0.2)
        time.sleep(2)
        before = cpu_seconds(home)
        begun = time.monotonic()
        with ThreadPoolExecutor(CLIENTS) as clients:
            asked = list(clients.map(sign_up, range(SIGN_UPS)))
        registered = time.monotonic() - begun
        while Instance.objects.filter(state="live").count() < SIGN_UPS + WARM_UP:
            if time.monotonic() - begun > GIVE_UP_SECONDS:
                break
            time.sleep(0.1)
        seconds = time.monotonic() - begun
        after = cpu_seconds(home)
        while MailboxMail.objects.count() < SIGN_UPS + WARM_UP and time.monotonic() - begun < GIVE_UP_SECONDS:
            time.sleep(0.2)
        with_mail = time.monotonic() - begun

        live = Instance.objects.filter(pk__in=asked, state="live").count()
        operations = Operation.objects.filter(instance__in=asked).count()
        mails = MailboxMail.objects.count() - WARM_UP
        customers = User.objects.filter(email__startswith="storm-").count() - WARM_UP
        with connection.cursor() as cursor:
            cursor.execute("SELECT status, count(*) FROM procrastinate_jobs GROUP BY 1 ORDER BY 1")
            jobs = dict(cursor.fetchall())

    print(f"registered in {registered:.1f} s, all live after {seconds:.1f} s, all mails after {with_mail:.1f} s")
    print(processor_time(before, after, SIGN_UPS, "sign-up"))
    print(f"jobs: {jobs}")
    return all(
        (
            claim(
                f"storm: {SIGN_UPS} sign-ups at once, null provider: >= {PER_SECOND} / s",
                f"{live / seconds:.0f} / s ({live / with_mail:.0f} / s with the mail)",
                live / seconds >= PER_SECOND,
            ),
            claim(
                "storm: none lost, none doubled",
                f"{live} live, {operations} operations, {customers} customers, {mails} mails",
                live == operations == customers == mails == len(set(asked)) == SIGN_UPS,
            ),
        )
    )


if __name__ == "__main__":
    sys.exit(not main())
