from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from parcelle.core.crypto import EncryptedJSONField
from parcelle.domain.catalog.models import Product
from parcelle.domain.provisioning import states
from parcelle.domain.tenancy.models import Organization


class Target(models.Model):
    """A place where instances can run: a provider with its connection."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(_("name"), max_length=50, unique=True)
    provider = models.CharField(_("provider"), max_length=30)
    region = models.CharField(_("region"), max_length=50, blank=True)
    connection = EncryptedJSONField(default=dict)
    capacity = models.PositiveIntegerField(_("capacity"), default=200, help_text=_("How many instances fit."))
    enabled = models.BooleanField(_("in use"), default=True)
    # The last time somebody asked whether it can be worked with, and what kept it from that: the code of a
    # ProvisioningError ("" = nothing), which surfaces have words for, and what the target itself said.
    checked_at = models.DateTimeField(_("last check"), null=True, blank=True, editable=False)
    problem_code = models.CharField(max_length=30, blank=True, editable=False)
    problem = models.CharField(_("problem"), max_length=500, blank=True, editable=False)
    versions = models.JSONField(_("versions"), default=dict, blank=True, editable=False)

    class Meta:
        verbose_name = _("target")
        verbose_name_plural = _("targets")

    def __str__(self) -> str:
        return self.name


class Template(models.Model):
    """A blueprint's application, built and initialised once on one target; instances are clones of it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="templates", verbose_name=_("target"))
    blueprint = models.CharField(_("blueprint"), max_length=50)
    version = models.CharField(_("version"), max_length=50)
    state = models.CharField(_("state"), max_length=10, choices=states.TEMPLATE_CHOICES, default=states.BUILDING)
    secrets = EncryptedJSONField(default=dict)
    created_at = models.DateTimeField(_("created"))

    class Meta:
        verbose_name = _("template")
        verbose_name_plural = _("templates")
        constraints = [
            models.UniqueConstraint(fields=["target", "blueprint", "version"], name="one_template_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.blueprint} {self.version} @ {self.target}"


class Instance(models.Model):
    """One isolated deployment for one organization, or a standby in the warm pool.

    `ref` is the key under which the provider knows what runs. It differs from `id` so that a standby's
    running stack can be handed to a customer's instance whose id is already known to the customer.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    ref = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    organization = models.ForeignKey(
        Organization,
        on_delete=models.PROTECT,
        null=True,
        blank=True,
        related_name="instances",
        verbose_name=_("organization"),
    )
    # The subscription that pays for it. No foreign key: billing and provisioning do not know each other.
    subscription_id = models.UUIDField(null=True, blank=True, db_index=True)
    # Without an index: there are few products, each with a good part of all instances.
    product = models.ForeignKey(
        Product, on_delete=models.PROTECT, related_name="instances", verbose_name=_("product"), db_index=False
    )
    target = models.ForeignKey(Target, on_delete=models.PROTECT, related_name="instances", verbose_name=_("target"))
    template = models.ForeignKey(
        Template, on_delete=models.PROTECT, null=True, blank=True, related_name="instances", verbose_name=_("template")
    )
    slug = models.CharField(_("short name"), max_length=50, null=True, blank=True)
    state = models.CharField(_("state"), max_length=12, choices=states.INSTANCE_CHOICES, default=states.REQUESTED)
    # Answers of the sign-up that the application is personalised with: company, email, first_name, last_name, language.
    owner = models.JSONField(default=dict)
    secrets = EncryptedJSONField(default=dict)
    # What the plan allows the whole stack to use: memory_mb, cpus, pids; absent = as the blueprint says.
    limits = models.JSONField(_("limits"), default=dict, blank=True)
    from_standby = models.BooleanField(_("from the warm pool"), default=False)
    # Sent along by whoever asked, so that asking twice is asking once.
    request_id = models.UUIDField(null=True, blank=True, unique=True, editable=False)
    url = models.CharField(_("address"), max_length=300, blank=True)
    # Why it is suspended or archived, one of the codes in `queries.REASONS`; shown on its holding page.
    reason = models.CharField(_("reason"), max_length=40, blank=True)
    # Whether the application was told to refuse changes.
    read_only = models.BooleanField(_("read-only"), default=False)
    created_at = models.DateTimeField(_("created"))
    live_at = models.DateTimeField(_("live since"), null=True, blank=True)
    # The last visit that is known of; what an idle instance is put to sleep by.
    last_seen_at = models.DateTimeField(_("last visit"), null=True, blank=True)
    archived_at = models.DateTimeField(_("archived"), null=True, blank=True)

    class Meta:
        verbose_name = _("instance")
        verbose_name_plural = _("instances")
        constraints = [
            models.UniqueConstraint(
                fields=["slug"], condition=Q(state__in=states.HOLDING_NAME), name="instance_slug_once_while_held"
            ),
            models.CheckConstraint(
                condition=Q(slug=None) | Q(slug__regex=r"^[a-z0-9-]{3,50}$"), name="instance_slug_is_well_formed"
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="instance_newest"),
            models.Index(fields=["organization"], condition=Q(state="failed"), name="instance_failed"),
            models.Index(fields=["product", "id"], condition=Q(state="standby"), name="instance_standbys"),
        ]

    def __str__(self) -> str:
        return self.slug or f"standby {str(self.ref)[:8]}"


class Operation(models.Model):
    """One durable change of one instance, or the building of one template; made of recorded steps."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(_("kind"), max_length=30)
    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, null=True, blank=True, related_name="operations", verbose_name=_("instance")
    )
    template = models.ForeignKey(
        Template,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="operations",
        verbose_name=_("template"),
        db_index=False,
    )
    # What it repairs; alone when that belongs to nobody.
    finding = models.ForeignKey(
        "Finding",
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="operations",
        verbose_name=_("finding"),
        db_index=False,
    )
    state = models.CharField(_("state"), max_length=10, choices=states.OPERATION_CHOICES, default=states.QUEUED)
    actor = models.CharField(_("asked by"), max_length=80, default="system")
    created_at = models.DateTimeField(_("created"))
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    deadline_at = models.DateTimeField(_("deadline"))
    # Who runs it now, and until when that is believed without a sign of life.
    worker = models.CharField(_("worker"), max_length=80, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    resume_at = models.DateTimeField(null=True, blank=True)
    error_code = models.CharField(_("error"), max_length=40, blank=True)
    error_detail = models.TextField(_("detail"), blank=True)

    class Meta:
        verbose_name = _("operation")
        verbose_name_plural = _("operations")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["instance"],
                condition=Q(state__in=states.UNFINISHED),
                name="one_unfinished_operation_per_instance",
            ),
            models.UniqueConstraint(
                fields=["template"],
                condition=Q(state__in=states.UNFINISHED, template__isnull=False),
                name="one_unfinished_operation_per_template",
            ),
            models.UniqueConstraint(
                fields=["finding"],
                condition=Q(state__in=states.UNFINISHED, finding__isnull=False),
                name="one_unfinished_operation_per_finding",
            ),
            models.CheckConstraint(
                condition=Q(instance=None, template__isnull=False)
                | Q(instance__isnull=False, template=None)
                | Q(instance=None, template=None, finding__isnull=False),
                name="operation_changes_one_thing",
            ),
        ]
        # Every change of an operation is written into all its indexes: those of what it seldom has leave it out.
        indexes = [
            models.Index(fields=["template"], condition=Q(template__isnull=False), name="operation_of_template"),
            models.Index(fields=["finding"], condition=Q(finding__isnull=False), name="operation_of_finding"),
            models.Index(fields=["-created_at"], name="operation_newest"),
            models.Index(fields=["-created_at"], condition=Q(state="failed"), name="operation_failed"),
            models.Index(fields=["lease_until"], condition=Q(state__in=states.UNFINISHED), name="operation_unfinished"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {str(self.id)[:8]}"


class Step(models.Model):
    """One recorded step of an operation."""

    # The index of `step_position_once` begins with it.
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps", db_index=False)
    position = models.PositiveSmallIntegerField()
    name = models.CharField(_("step"), max_length=40)
    state = models.CharField(_("state"), max_length=10, choices=states.STEP_CHOICES, default=states.PENDING)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=0)
    started_at = models.DateTimeField(_("started"), null=True, blank=True)
    finished_at = models.DateTimeField(_("finished"), null=True, blank=True)
    # How far a long step is, 0 to 1, when it knows; and what it is doing, as a code or a tail of output.
    fraction = models.FloatField(null=True, blank=True)
    note = models.CharField(max_length=200, blank=True)
    error = models.TextField(_("error"), blank=True)
    output = models.TextField(_("output"), blank=True)

    class Meta:
        verbose_name = _("step")
        verbose_name_plural = _("steps")
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["operation", "position"], name="step_position_once")]

    def __str__(self) -> str:
        return self.name


class PortLease(models.Model):
    """A port of a target that belongs to one stack; the unique constraint is what keeps it to one."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="port_leases")
    port = models.PositiveIntegerField()
    purpose = models.CharField(max_length=20)
    ref = models.UUIDField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "port"], name="port_leased_once"),
            models.UniqueConstraint(fields=["ref", "purpose"], name="one_port_per_purpose"),
        ]

    def __str__(self) -> str:
        return f"{self.port} ({self.purpose})"


class SubnetLease(models.Model):
    """A network of a target that belongs to one stack: a /28 of the installation's pool, by its place in there."""

    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="subnet_leases")
    place = models.PositiveIntegerField()
    purpose = models.CharField(max_length=20)
    ref = models.UUIDField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "place"], name="subnet_leased_once"),
            models.UniqueConstraint(fields=["ref", "purpose"], name="one_subnet_per_purpose"),
        ]

    def __str__(self) -> str:
        return f"{self.place} ({self.purpose})"


class Finding(models.Model):
    """A difference between what should exist on a target and what does. Opens and closes by itself."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    target = models.ForeignKey(Target, on_delete=models.CASCADE, related_name="findings", verbose_name=_("target"))
    kind = models.CharField(_("kind"), max_length=20, choices=states.FINDING_CHOICES)
    # Under which the target knows it; for a template its id.
    ref = models.UUIDField()
    name = models.CharField(_("name"), max_length=200)
    instance = models.ForeignKey(
        Instance, on_delete=models.CASCADE, null=True, blank=True, related_name="findings", verbose_name=_("instance")
    )
    template = models.ForeignKey(
        Template, on_delete=models.CASCADE, null=True, blank=True, related_name="findings", verbose_name=_("template")
    )
    # What is there of it: "container/client-acme-db-1". Nothing else is ever removed on its account.
    parts = models.JSONField(_("parts"), default=list)
    detail = models.CharField(_("detail"), max_length=500, blank=True)
    opened_at = models.DateTimeField(_("found"))
    seen_at = models.DateTimeField(_("last seen"))
    closed_at = models.DateTimeField(_("gone"), null=True, blank=True)

    class Meta:
        verbose_name = _("finding")
        verbose_name_plural = _("findings")
        ordering = ["-opened_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["target", "ref", "kind"], condition=Q(closed_at=None), name="finding_open_once"
            )
        ]
        indexes = [models.Index(fields=["-opened_at"], name="finding_newest")]

    def __str__(self) -> str:
        return self.name


class PublishedRoute(models.Model):
    """Where one instance is reached and what answers there: the committed snapshot that every ingress works from."""

    ref = models.UUIDField(primary_key=True)
    instance = models.OneToOneField(Instance, on_delete=models.CASCADE, related_name="route")
    state = models.CharField(_("state"), max_length=12, choices=states.ROUTE_CHOICES)
    port = models.PositiveIntegerField(_("port"), null=True, blank=True)
    # "host:port" under which the ingress reaches the application.
    upstream = models.CharField(_("upstream"), max_length=200, blank=True)
    health_path = models.CharField(_("health path"), max_length=200, default="/")
    # The operator's own words for the maintenance page.
    note = models.CharField(_("note"), max_length=500, blank=True)
    changed_at = models.DateTimeField(_("changed"))

    class Meta:
        verbose_name = _("route")
        verbose_name_plural = _("routes")

    def __str__(self) -> str:
        return f"{self.ref} {self.state}"


class RouteHost(models.Model):
    """A host name that leads to one route. As the key it can lead to only one."""

    host = models.CharField(_("host name"), max_length=253, primary_key=True)
    route = models.ForeignKey(PublishedRoute, on_delete=models.CASCADE, related_name="hosts")
    # A customer's own domain rather than one below the platform's.
    custom = models.BooleanField(default=False)
    # Whether a certificate may be asked for it at this moment.
    certificate = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.host


class DomainProof(models.Model):
    """The word that an organization writes into the DNS of its domains; nobody else's record proves anything."""

    organization = models.OneToOneField(Organization, on_delete=models.CASCADE, primary_key=True)
    token = models.CharField(max_length=40)

    def __str__(self) -> str:
        return f"{self.organization_id}"


class Domain(models.Model):
    """A customer's own domain for one instance, from being asked for until it is given up."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    host = models.CharField(_("host name"), max_length=253)
    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, related_name="domains", verbose_name=_("organization")
    )
    instance = models.ForeignKey(Instance, on_delete=models.PROTECT, related_name="domains", verbose_name=_("instance"))
    state = models.CharField(_("state"), max_length=12, choices=states.DOMAIN_CHOICES, default=states.PENDING)
    # What the last check found wrong, one of the codes in `domains.PROBLEMS`, and what was seen instead.
    problem = models.CharField(_("problem"), max_length=30, blank=True)
    seen = models.CharField(_("seen"), max_length=500, blank=True)
    # Checks in a row that did not bring it further; what the pauses between them grow with.
    failures = models.PositiveSmallIntegerField(_("failed checks"), default=0)
    # Being given up: it stays its customer's until no route leads there any more.
    leaving = models.BooleanField(default=False)
    created_at = models.DateTimeField(_("created"))
    checked_at = models.DateTimeField(_("last check"), null=True, blank=True)
    next_check_at = models.DateTimeField(_("next check"), null=True, blank=True)
    live_at = models.DateTimeField(_("live since"), null=True, blank=True)
    broken_at = models.DateTimeField(_("broken since"), null=True, blank=True)
    removed_at = models.DateTimeField(_("removed"), null=True, blank=True)

    class Meta:
        verbose_name = _("domain")
        verbose_name_plural = _("domains")
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["host"], condition=Q(state__in=states.HOLDING_DOMAIN), name="domain_held_once"
            ),
            models.UniqueConstraint(
                fields=["organization", "host"], condition=~Q(state="removed"), name="domain_once_per_organization"
            ),
        ]
        indexes = [
            models.Index(fields=["-created_at"], name="domain_newest"),
            models.Index(fields=["next_check_at"], condition=~Q(state="removed"), name="domain_due"),
        ]

    def __str__(self) -> str:
        return self.host
