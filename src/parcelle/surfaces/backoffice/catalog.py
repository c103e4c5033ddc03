"""Products, plans, add-ons, prices and coupons: what is sold."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.decorators import action
from unfold.widgets import (
    UnfoldAdminDecimalFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from parcelle.core.money import Money, NotMoney, decimals
from parcelle.domain.billing import sellers
from parcelle.domain.billing import states as billing
from parcelle.domain.billing.models import CouponUse, Order, Subscription
from parcelle.domain.billing.taxes import RATES
from parcelle.domain.catalog import actions, blueprints
from parcelle.domain.catalog.blueprints import BlueprintError
from parcelle.domain.catalog.models import AddOn, AddOnPrice, Coupon, Feature, Plan, PlanFeature, Price, Product
from parcelle.domain.provisioning import queries, states
from parcelle.domain.provisioning.models import Instance, Target
from parcelle.surfaces.backoffice import words
from parcelle.surfaces.backoffice.base import Lines, Page, TabularInline, counted
from parcelle.surfaces.backoffice.changes import Changing
from parcelle.surfaces.backoffice.plan_reminders import RemindersForm
from parcelle.surfaces.backoffice.price_changes import ANNOUNCE
from parcelle.surfaces.backoffice.values import NOTHING, list_of, number

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

    def clean_vat_rate(self) -> Decimal | None:
        """A rate that no invoice may carry would only be found out after it was sold."""
        rate: Decimal | None = self.cleaned_data["vat_rate"]
        known = RATES.get(sellers.current().country)
        if rate is not None and (rate == 0 or (known is not None and rate not in known)):
            sentence = _("This is no VAT rate of the seller’s country. Who charges no VAT says so under Seller.")
            raise forms.ValidationError(sentence)
        return rate

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


class PlanForm(RemindersForm):
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

    class Meta(RemindersForm.Meta):
        fields = [
            "product",
            "name",
            "slug",
            "trial_days",
            "retention_days",
            "trial_sleep_minutes",
            "sleep_minutes",
            "summary_fr",
            "summary_en",
            "popular",
            "on_request",
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


class _Lines(TabularInline):
    """Rows that are changed together with the one they belong to; every operator may read them."""

    extra = 0
    show_title = False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(request.user.is_active and request.user.is_staff)


class PlanLines(_Lines):
    """The plans of a product."""

    model = Plan
    verbose_name_plural = _("Plans")
    fields = ["name", "slug", "trial_days", "retention_days", "enabled", "position"]


class FeatureLines(_Lines):
    """What the plans of a product are compared by."""

    model = Feature
    verbose_name_plural = _("Features")
    fields = ["name_fr", "name_en", "key", "icon", "position"]


@admin.register(Product)
class ProductPage(Page):
    form = ProductForm
    when_empty = _("A product says which blueprint is sold, and on which target its instances run.")
    list_display = ["name", "slug", "blueprint", "target_name", "pool", "running", "enabled"]
    list_filter = ["enabled"]
    search_fields = ["name", "slug", "blueprint"]
    ordering = ["position", "name"]
    inlines = [PlanLines, FeatureLines]
    prepopulated_fields = {"slug": ["name"]}
    fieldsets = [
        (None, {"fields": ["name", "slug", "tagline_fr", "tagline_en", "enabled", "position"]}),
        (_("VAT"), {"fields": ["vat_rate"]}),
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


class IncludedForm(forms.ModelForm):  # type: ignore[type-arg]
    """A line of a plan: only features of its own product can be chosen."""

    class Meta:
        model = PlanFeature
        fields = ["feature", "counted", "amount"]

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("amount") is not None and not cleaned.get("counted"):
            self.add_error("amount", _("Only what is counted has an amount."))
        return cleaned


class IncludedLines(_Lines):
    """What a plan includes, and how much of it."""

    model = PlanFeature
    form = IncludedForm
    verbose_name_plural = _("Limits and features")
    fields = ["feature", "counted", "amount"]

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        self.product = obj.product if obj is not None else None
        return super().get_formset(request, obj, **kwargs)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "feature":
            kwargs["queryset"] = Feature.objects.filter(product=getattr(self, "product", None))
        return super().formfield_for_foreignkey(db_field, request, **kwargs)


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A price in the currency's own notation; saving it never changes a row, see `catalog.actions`."""

    amount = forms.CharField(label=_("Amount without tax"), widget=UnfoldAdminTextInputWidget, max_length=20)

    class Meta:
        model = Price
        fields = ["interval", "currency"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.known = self.instance.pk is not None and not self.instance._state.adding
        if self.known:
            self.initial["amount"] = written(self.instance.amount)
            for name in ("interval", "currency"):
                self.fields[name].disabled = True

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()

    def validate_constraints(self) -> None:
        """A second price for the same interval and currency takes the place of the first."""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if "amount" in cleaned and "currency" in cleaned:
            try:
                self.money = money(cleaned["amount"], cleaned["currency"])
            except NotMoney as error:
                self.add_error("amount", _not_money(error, cleaned["currency"]))
        return cleaned


class PriceLines(_Lines):
    """What a plan costs now. Deleting a line retires the price; what was sold stays."""

    model = Price
    form = PriceForm
    verbose_name_plural = _("Prices on sale")
    fields = ["interval", "currency", "amount", "created_at"]
    readonly_fields = ["created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(retired_at=None).order_by("currency", "interval")


class AddOnPriceForm(PriceForm):
    """What one of an add-on costs, and how much more it allows."""

    class Meta:
        model = AddOnPrice
        fields = ["interval", "currency", "adds"]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "amount" not in self.errors and "amount" in cleaned and "currency" in cleaned and not self.money:
            self.add_error("amount", _("More than nothing."))
        return cleaned


class AddOnPriceLines(_Lines):
    """What one of an add-on costs now. Deleting a line retires the price; what was sold stays."""

    model = AddOnPrice
    form = AddOnPriceForm
    verbose_name_plural = _("Prices on sale")
    fields = ["interval", "currency", "amount", "adds", "created_at"]
    readonly_fields = ["created_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).filter(retired_at=None).order_by("currency", "interval")


class OldPriceLines(Lines):
    """What a plan has cost before, for who bought it then."""

    model: Any = Price
    verbose_name_plural = _("Earlier prices")
    fields = ["interval", "price", "created_at", "retired_at"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).exclude(retired_at=None).order_by("-retired_at")

    @admin.display(description=_("Amount without tax"))
    def price(self, row: Price | AddOnPrice) -> str:
        return written(row.amount, row.currency)


class OldAddOnPriceLines(OldPriceLines):
    """The same for an add-on."""

    model = AddOnPrice
    fields = ["interval", "price", "adds", "created_at", "retired_at"]


def written(amount: Money, currency: str = "") -> str:
    """An amount as the reader types it, `49,90`; with its currency where it is only shown."""
    text = formats.number_format(amount.amount, decimals(amount.currency), force_grouping=bool(currency))
    return f"{text} {currency}".strip()


def money(typed: str, currency: str) -> Money:
    """What was typed, with a comma or a point. Raises NotMoney, also for less than nothing."""
    bare = "".join(typed.split()).replace(",", ".")
    if not re.fullmatch(r"\d{1,15}(\.\d{1,4})?", bare, re.ASCII):
        raise NotMoney(typed)
    return Money.of(bare, currency)


def _not_money(_error: NotMoney, currency: str) -> str:
    try:
        places = decimals(currency)
    except NotMoney:
        return gettext("There is no currency %(currency)s.") % {"currency": currency}
    if not places:
        return gettext("A whole number: %(currency)s has no decimals.") % {"currency": currency}
    return gettext("An amount such as 49.90, with at most %(places)d decimals.") % {"places": places}


class Priced(Page):
    """A page whose price lines are never changed: another amount is another row."""

    price_model: Any

    def set_price(self, owner: Any, line: Any, now: datetime) -> Any:
        raise NotImplementedError

    def retire_price(self, line: Any, now: datetime) -> None:
        raise NotImplementedError

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        if formset.model is not self.price_model:
            super().save_formset(request, form, formset, change)
            return
        now = timezone.now()
        formset.new_objects, formset.changed_objects, formset.deleted_objects = [], [], []
        for line in formset.forms:
            if line in formset.deleted_forms:
                if line.known:
                    self.retire_price(line, now)
                    formset.deleted_objects.append(line.instance)
            elif line.has_changed():
                price = self.set_price(form.instance, line, now)
                (
                    formset.changed_objects.append((price, ["amount"]))
                    if line.known
                    else formset.new_objects.append(price)
                )


@admin.register(Plan)
class PlanPage(Changing, Priced):
    price_model = Price
    confirmation_columns = (_("Plan"), _("Product"))
    actions_detail = ["announce_one"]
    when_empty = _("A plan says what a customer gets of a product, and for how much.")
    list_display = ["name", "product", "slug", "trial_days", "retention_days", "subscribers", "enabled"]
    list_filter = ["enabled", "product"]
    list_select_related = ["product"]
    search_fields = ["name", "slug", "product__name"]
    ordering = ["product__position", "position", "name"]
    form = PlanForm
    fieldsets = [
        (None, {"fields": ["product", "name", "slug", "enabled", "position"]}),
        (_("On the pricing page"), {"fields": ["summary_fr", "summary_en", "popular", "on_request"]}),
        (_("Over time"), {"fields": ["trial_days", "retention_days", "trial_sleep_minutes", "sleep_minutes"]}),
        (
            _("Reminders of renewals"),
            {
                "fields": RemindersForm.CALENDAR,
                "description": _("Around the day a period is to be paid. What is left empty is as the grey text says."),
            },
        ),
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

    def describe(self, row: Any) -> object:
        return str(row.product)

    @action(description=_("Move former prices"), url_path="announce", icon="campaign")
    def announce_one(self, request: HttpRequest, object_id: str) -> HttpResponse:
        return self.one(request, object_id, ANNOUNCE)

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        """A plan has a product before it has lines."""
        return [PriceLines, IncludedLines, OldPriceLines] if obj is not None else []

    def set_price(self, owner: Any, line: Any, now: datetime) -> Price:
        return actions.set_price(owner.pk, interval=line.cleaned_data["interval"], amount=line.money, now=now)

    def retire_price(self, line: Any, now: datetime) -> None:
        actions.retire_price(line.instance.pk, now=now)

    def complete(self, rows: list[Any]) -> None:
        live = counted(Subscription.objects.filter(plan__in=rows, state__in=billing.LIVE), "plan_id")
        for row in rows:
            row.live = live.get(row.pk, 0)

    @admin.display(description=_("Subscriptions"))
    def subscribers(self, row: Any) -> SafeString:
        return number(row.live)


class FeatureField(forms.ModelChoiceField):  # type: ignore[type-arg]
    def label_from_instance(self, feature: Any) -> str:
        return f"{feature.product} · {feature}"


@admin.register(AddOn)
class AddOnPage(Priced):
    when_empty = _("An add-on is sold beside a plan: more users, more storage.")
    price_model = AddOnPrice
    list_display = ["name_fr", "of_product", "raises", "prices_now", "enabled"]
    list_filter = ["enabled", "feature__product"]
    list_select_related = ["feature__product"]
    search_fields = ["name_fr", "name_en", "slug"]
    ordering = ["feature__product__position", "position", "slug"]
    filter_horizontal = ["plans"]
    fieldsets = [
        (None, {"fields": ["name_fr", "name_en", "slug", "enabled", "position"]}),
        (
            _("What it is for"),
            {
                "fields": ["feature", "plans", "most"],
                "description": _(
                    "Each one raises the limit of a feature that is counted, for as long as it is paid. What was sold "
                    "keeps its price and what it adds."
                ),
            },
        ),
    ]
    prepopulated_fields = {"slug": ["name_fr"]}

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        return [AddOnPriceLines, OldAddOnPriceLines] if obj is not None else []

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "feature":
            kwargs["queryset"] = Feature.objects.select_related("product").order_by("product__position", "position")
            kwargs["form_class"] = FeatureField
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def set_price(self, owner: Any, line: Any, now: datetime) -> AddOnPrice:
        said = line.cleaned_data
        return actions.set_add_on_price(
            owner.pk, interval=said["interval"], amount=line.money, adds=said["adds"], now=now
        )

    def retire_price(self, line: Any, now: datetime) -> None:
        actions.retire_add_on_price(line.instance.pk, now=now)

    def complete(self, rows: list[Any]) -> None:
        found: dict[Any, list[str]] = {}
        for price in AddOnPrice.objects.filter(add_on__in=rows, retired_at=None):
            text = f"{written(price.amount, price.currency)} / {price.get_interval_display()}"
            found.setdefault(price.add_on_id, []).append(text)
        for row in rows:
            row.costs = ", ".join(found.get(row.pk, []))

    @admin.display(description=_("Product"))
    def of_product(self, row: Any) -> str:
        return str(row.feature.product)

    @admin.display(description=_("Raises"))
    def raises(self, row: Any) -> str:
        return str(row.feature)

    @admin.display(description=_("Price"))
    def prices_now(self, row: Any) -> SafeString | str:
        return row.costs or NOTHING

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What has a price may have been sold; it can be taken off sale."""
        if obj is not None and obj.prices.exists():
            return False
        return bool(super().has_delete_permission(request, obj))


class CouponForm(forms.ModelForm):  # type: ignore[type-arg]
    """A coupon with its amounts in the currency's own notation."""

    amount = forms.CharField(
        label=_("Amount"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        max_length=20,
        help_text=_("For a fixed amount."),
    )
    minimum = forms.CharField(
        label=_("Smallest order"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        max_length=20,
        help_text=_("Without tax. Empty: any."),
    )

    class Meta:
        model = Coupon
        fields = [
            "code",
            "kind",
            "percent",
            "currency",
            "valid_from",
            "valid_until",
            "most_uses",
            "most_uses_each",
            "payments",
            "plans",
            "enabled",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        coupon = self.instance
        if coupon.currency and coupon.amount_minor:
            self.initial["amount"] = written(Money(coupon.amount_minor, coupon.currency))
        if coupon.currency and coupon.minimum_minor:
            self.initial["minimum"] = written(Money(coupon.minimum_minor, coupon.currency))

    def clean_code(self) -> str:
        return str(self.cleaned_data["code"]).strip().upper()

    def clean_currency(self) -> str:
        return str(self.cleaned_data["currency"]).upper()

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        fixed = cleaned.get("kind") == Coupon.FIXED
        if fixed and not cleaned.get("amount"):
            self.add_error("amount", _("How much is taken off?"))
        if not fixed and not cleaned.get("percent"):
            self.add_error("percent", _("How many percent are taken off?"))
        if (fixed or cleaned.get("minimum")) and not cleaned.get("currency"):
            self.add_error("currency", _("An amount needs its currency."))
        begins, ends = cleaned.get("valid_from"), cleaned.get("valid_until")
        if begins and ends and ends <= begins:
            self.add_error("valid_until", _("The end must come after the beginning."))
        self.instance.percent = None if fixed else cleaned.get("percent")
        cleaned["percent"] = self.instance.percent
        self.instance.amount_minor = self._minor("amount", cleaned) if fixed else None
        self.instance.minimum_minor = self._minor("minimum", cleaned) or 0
        return cleaned

    def _minor(self, name: str, cleaned: dict[str, Any]) -> int | None:
        if not cleaned.get(name) or not cleaned.get("currency"):
            return None
        try:
            return money(cleaned[name], cleaned["currency"]).minor
        except NotMoney as error:
            self.add_error(name, _not_money(error, cleaned["currency"]))
            return None


@admin.register(Coupon)
class CouponPage(Page):
    form = CouponForm
    when_empty = _("A coupon takes something off the price of those who know its code.")
    list_display = ["code", "takes_off", "valid_until", "used", "enabled"]
    list_filter = ["enabled", "kind"]
    search_fields = ["code"]
    ordering = ["code"]
    filter_horizontal = ["plans"]
    fieldsets = [
        (None, {"fields": ["code", "enabled"]}),
        (_("What it takes off"), {"fields": ["kind", "percent", "amount", "currency", "payments"]}),
        (_("For which orders"), {"fields": ["plans", "minimum", "valid_from", "valid_until"]}),
        (_("How often"), {"fields": ["most_uses", "most_uses_each"]}),
    ]

    def complete(self, rows: list[Any]) -> None:
        uses = counted(CouponUse.objects.filter(coupon__in=rows), "coupon_id")
        for row in rows:
            row.uses_so_far = uses.get(row.pk, 0)

    @admin.display(description=_("Takes off"))
    def takes_off(self, row: Any) -> str:
        if row.kind == Coupon.PERCENT:
            return f"{formats.number_format(row.percent.normalize())} %"
        return written(Money(row.amount_minor, row.currency), row.currency)

    @admin.display(description=_("Used"))
    def used(self, row: Any) -> SafeString:
        return format_html(
            '<span class="bo-numbers">{} / {}</span>', row.uses_so_far, "∞" if row.most_uses is None else row.most_uses
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What orders refer to stays; it can be taken out of use."""
        if obj is not None and Order.objects.filter(coupon=obj).exists():
            return False
        return bool(super().has_delete_permission(request, obj))
