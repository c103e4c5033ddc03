"""Products and plans: what is sold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminDecimalFieldWidget, UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from parcelle.domain.billing import states as billing
from parcelle.domain.billing.models import Subscription
from parcelle.domain.catalog import blueprints
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.catalog.models import Plan, Product
from parcelle.domain.provisioning import queries, states
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Page, TabularInline, counted
from parcelle.surfaces.backoffice.values import list_of, number

if TYPE_CHECKING:
    _Form = ModelForm[Product]
else:
    _Form = ModelForm


class ProductForm(_Form):
    """A product whose blueprint and target are chosen from what there is."""

    blueprint = forms.ChoiceField(label=_("Blueprint"), widget=UnfoldAdminSelectWidget)
    target_name = forms.ChoiceField(
        label=_("Target"), widget=UnfoldAdminSelectWidget, help_text=_("Where new instances run.")
    )

    class Meta:
        model = Product
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, known in (
            ("blueprint", blueprints.names()),
            ("target_name", list(Target.objects.order_by("name").values_list("name", flat=True))),
        ):
            field = self.fields.get(name)
            if isinstance(field, forms.ChoiceField):
                # What the row says now stays choosable, also when its folder or target has gone.
                present = [value] if (value := getattr(self.instance, name)) and value not in known else []
                field.choices = [(value, value) for value in [*known, *present]]

    def clean_blueprint(self) -> str:
        name = str(self.cleaned_data["blueprint"])
        try:
            blueprints.load(name)
        except BlueprintError as error:
            raise forms.ValidationError(str(error)) from error
        return name

    def clean(self) -> dict[str, Any]:
        """A target must be able to run what the blueprint describes."""
        cleaned = super().clean() or self.cleaned_data
        blueprint, target = cleaned.get("blueprint"), cleaned.get("target_name")
        provider = Target.objects.filter(name=target).values_list("provider", flat=True).first()
        if blueprint and provider and not queries.can_run(blueprints.load(blueprint), provider):
            sentence = _(
                "The blueprint %(blueprint)s does not say how to run on “%(provider)s”: choose another target."
            )
            self.add_error(
                "target_name", sentence % {"blueprint": blueprint, "provider": words.word(words.PROVIDERS, provider)}
            )
        return cleaned


class PlanForm(ModelForm):  # type: ignore[type-arg]
    """A plan with its limits as numbers; an empty one leaves what the blueprint says."""

    memory_mb = forms.IntegerField(
        label=_("Memory in MB"), required=False, min_value=64, widget=UnfoldAdminIntegerFieldWidget
    )
    cpus = forms.FloatField(
        label=_("Processors"),
        required=False,
        min_value=0.1,
        widget=UnfoldAdminDecimalFieldWidget(attrs={"step": "0.1"}),
        help_text=_("0.5 is half of one."),
    )
    pids = forms.IntegerField(label=_("Processes"), required=False, min_value=32, widget=UnfoldAdminIntegerFieldWidget)
    LIMITS = ("memory_mb", "cpus", "pids")

    class Meta:
        model = Plan
        fields = [
            "product",
            "name",
            "slug",
            "trial_days",
            "retention_days",
            "trial_sleep_minutes",
            "sleep_minutes",
            "enabled",
            "position",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in self.LIMITS:
            self.initial.setdefault(name, self.instance.limits.get(name))

    def save(self, commit: bool = True) -> Any:
        # A reader's form has no fields: nothing is known that could be saved.
        kept = {name: value for name, value in self.instance.limits.items() if name not in self.LIMITS}
        typed = {name: self.cleaned_data.get(name) for name in self.LIMITS}
        self.instance.limits = kept | {name: value for name, value in typed.items() if value is not None}
        return super().save(commit)


class PlanLines(TabularInline):
    """The plans of a product, changed together with it."""

    model = Plan
    extra = 0
    show_title = False
    verbose_name_plural = _("Plans")
    fields = ["name", "slug", "trial_days", "retention_days", "enabled", "position"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_staff)


@admin.register(Product)
class ProductPage(Page):
    form = ProductForm
    list_display = ["name", "slug", "blueprint", "target_name", "pool", "running", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "slug", "blueprint"]
    ordering = ["position", "name"]
    inlines = [PlanLines]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["name", "slug", "tagline_fr", "tagline_en", "enabled", "position"]}),
        (_("How it runs"), {"fields": ["blueprint", "target_name", "pool_size"]}),
    ]

    def complete(self, rows: list[Any]) -> None:
        instances = Instance.objects.filter(product__in=rows)
        ready = counted(instances.filter(state=states.STANDBY), "product_id")
        held = counted(instances.filter(state__in=states.HOLDING_NAME, organization__isnull=False), "product_id")
        for row in rows:
            row.ready, row.held = ready.get(row.pk, 0), held.get(row.pk, 0)

    @admin.display(description=_("Warm pool"), ordering="pool_size")
    def pool(self, row: Any) -> SafeString:
        page = list_of(Instance, f"of=pool&product__id__exact={row.pk}&state__exact={states.STANDBY}")
        return format_html('<a class="bo-link bo-numbers" href="{}">{} / {}</a>', page, row.ready, row.pool_size)

    @admin.display(description=_("Instances"))
    def running(self, row: Any) -> SafeString:
        page = list_of(Instance, f"product__id__exact={row.pk}")
        return format_html('<a class="bo-link bo-numbers" href="{}">{}</a>', page, row.held)


@admin.register(Plan)
class PlanPage(Page):
    list_display = ["name", "product", "slug", "trial_days", "retention_days", "subscribers", "enabled"]
    list_filter = ["enabled", "product"]
    list_select_related = ["product"]
    search_fields = ["name", "slug", "product__name"]
    ordering = ["product__position", "position", "name"]
    form = PlanForm
    fieldsets = [
        (None, {"fields": ["product", "name", "slug", "enabled", "position"]}),
        (_("Over time"), {"fields": ["trial_days", "retention_days", "trial_sleep_minutes", "sleep_minutes"]}),
        (
            _("What one instance may use"),
            {
                "fields": ["memory_mb", "cpus", "pids"],
                "description": _(
                    "For the whole stack of a new instance on Docker, Docker Swarm or Portainer. "
                    "Empty: as the blueprint says. Instances that run keep theirs."
                ),
            },
        ),
    ]
    prepopulated_fields = {"slug": ["name"]}

    def complete(self, rows: list[Any]) -> None:
        live = counted(Subscription.objects.filter(plan__in=rows, state__in=billing.LIVE), "plan_id")
        for row in rows:
            row.live = live.get(row.pk, 0)

    @admin.display(description=_("Subscriptions"))
    def subscribers(self, row: Any) -> SafeString:
        return number(row.live)
