# SPDX-License-Identifier: Apache-2.0
"""The lower seam: guards inside ``nova.db.main.api``.

The functions here stand in for Nova's of the same names and keep their
contract. What a writer may change is decided in ``judgement``; the database
judges it in the one ``UPDATE`` that also writes.
"""

from collections.abc import Callable, Mapping
import copy
import functools
from typing import Any

from oslo_utils import uuidutils
import sqlalchemy as sa

from nova_db_states import exceptions
from nova_db_states import retry
from nova_db_states._update import clusters
from nova_db_states._update import contexts
from nova_db_states._update import execute
from nova_db_states._update import update
from nova_db_states.nova import calls
from nova_db_states.nova import checking
from nova_db_states.nova import conflicts
from nova_db_states.nova import counters
from nova_db_states.nova import destroying
from nova_db_states.nova import hints
from nova_db_states.nova import others
from nova_db_states.nova import packed
from nova_db_states.nova import pairs
from nova_db_states.nova import rows
from nova_db_states.nova import settings
from nova_db_states.nova import values as kept
from nova_db_states.nova import verdicts

__all__ = ["Seam"]


class Seam:
    """The functions of one installed Nova.

    :ivar replaced: name to Nova's own function
    """

    def __init__(self, db: Any, models: Any, exception: Any) -> None:
        """Build the functions; ``install`` puts them in place.

        :param db: the module ``nova.db.main.api``
        :param models: the module ``nova.db.main.models``
        :param exception: the module ``nova.exception``
        """
        self._db = db
        self._models = models
        self._exception = exception
        self.replaced: dict[str, Callable[..., Any]] = {}

    def install(self) -> None:
        """Put the functions in the place of Nova's."""
        for name, body in (
            ("instance_update", self._update),
            ("instance_update_and_get_original", self._update_and_get),
        ):
            theirs = getattr(self._db, name)
            self._replace(name, self._decorated(theirs, body))
        self._replace(
            "instance_destroy",
            destroying.guarded(self._db, self._models, self._exception),
        )
        self._replace(
            "instance_extra_update_by_uuid",
            others.later_extra(self._db.instance_extra_update_by_uuid),
        )
        counters.add("lower")

    def _replace(self, name: str, ours: Callable[..., Any]) -> None:
        self.replaced[name] = getattr(self._db, name)
        setattr(self._db, name, ours)

    def _decorated(
        self, theirs: Callable[..., Any], body: Callable[..., Any]
    ) -> Callable[..., Any]:
        """Give a function the decorators that Nova's has, in their order."""
        db = self._db
        straight = body == self._update_and_get

        def in_transaction(context: Any, *args: Any, **kwargs: Any) -> Any:
            nested = contexts.has_open_transaction(
                context, db.get_context_manager(context)
            )
            try:
                if straight and not nested:
                    done = self._straight(context, *args, **kwargs)
                    if done is not None:
                        return done
                return opened(context, nested, *args, **kwargs)
            except retry.DATABASE_ERRORS as error:
                # Under mariadb:// nobody else tells deadlocks apart.
                retry.reraise(error)

        opened = db.pick_context_manager_writer(others.in_transaction(body))
        retried = db._retry_instance_update()(in_transaction)

        @functools.wraps(theirs)
        def guarded(context: Any, *args: Any, **kwargs: Any) -> Any:
            if settings.is_off():
                return theirs(context, *args, **kwargs)
            return retried(context, *args, **kwargs)

        return db.require_context(guarded)  # type: ignore[no-any-return]

    def _update(
        self,
        context: Any,
        nested: bool,  # noqa: FBT001 - passed on by Nova's decorators
        instance_uuid: str,
        values: Mapping[str, Any],
        expected: Mapping[str, Any] | None = None,
    ) -> Any:
        request = calls.take_apart(
            self._db, self._exception, context, instance_uuid, values, expected
        )
        if request is None:
            return self._db._instance_update(
                context, instance_uuid, values, expected
            )
        if nested:
            return self._attached(context, request, None)[1]
        return self._written(context, request)

    def _update_and_get(  # noqa: PLR0917 - Nova's own
        self,
        context: Any,
        nested: bool,  # noqa: FBT001 - passed on by Nova's decorators
        instance_uuid: str,
        values: Mapping[str, Any],
        columns_to_join: list[str] | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Any]:
        if not uuidutils.is_uuid_like(instance_uuid):
            # Nova reads first, and finds none.
            self._db._instance_get_by_uuid(
                context, instance_uuid, columns_to_join=columns_to_join
            )
        request = calls.take_apart(
            self._db, self._exception, context, instance_uuid, values, expected
        )
        if request is None:
            original = self._db._instance_get_by_uuid(
                context, instance_uuid, columns_to_join=columns_to_join
            )
            return copy.copy(original), self._db._instance_update(
                context, instance_uuid, values, expected, original=original
            )
        joins = columns_to_join
        if joins is None:
            joins = list(calls.SEPARATE)
        if not nested and rows.PLAIN.issuperset(joins):
            connection = context.session.connection()
            done = self._detached(context, connection, request, joins)
            if done is not None:
                return done
        return self._attached(context, request, joins)

    def _written(self, context: Any, request: calls.Request) -> Any:
        """Update, and answer with what was written and nothing else.

        Nova's own answer knows no more, once its transaction is over.
        """
        connection = context.session.connection()
        before = (
            self._locked(context, connection, request)
            if settings.observes()
            else {}
        )
        self._send(context, connection, request, before)
        uuid = request.instance_uuid
        if request.separate:
            # Nova reads the row when it comes to the metadata.
            known = self._locked(context, connection, request)
        else:
            known = {
                **kept.plain(request.values),
                **rows.key_of(connection, self._models.Instance, uuid),
            }
        every = pairs.models_of(self._models)
        for name, change in self._changes(connection, request).items():
            known[name] = [
                rows.make(every[name], one)
                for one in (*change.after, *change.marked)
            ]
        return rows.make(self._models.Instance, known)

    def _straight(
        self,
        context: Any,
        instance_uuid: str,
        values: Mapping[str, Any],
        columns_to_join: list[str] | None = None,
        expected: Mapping[str, Any] | None = None,
    ) -> tuple[Any, Any] | None:
        """Update for ``Instance.save``, in a transaction without a session.

        :returns: the answer; ``None`` where a session is needed
        """
        hint = hints.current(instance_uuid)
        joins = columns_to_join
        if hint is None or hint.later or joins is None:
            return None
        engine = self._db.get_context_manager(context).writer.get_engine()
        if not (rows.PLAIN.issuperset(joins) and packed.can(engine)):
            return None
        request = calls.take_apart(
            self._db, self._exception, context, instance_uuid, values, expected
        )
        if request is None:
            return None
        with engine.connect() as connection:
            # Whatever is raised here rolls back, once.
            done = self._detached(context, connection, request, joins)
            connection.commit()
        return done

    def _detached(
        self,
        context: Any,
        connection: sa.Connection,
        request: calls.Request,
        joins: list[str],
    ) -> tuple[Any, Any] | None:
        """Update and answer without the ORM; ``None`` where it must read."""
        models = self._models
        # An object that is being saved asks for items alone.
        mapped = request.hint is not None
        beside = rows.beside(models, joins, full=not mapped)
        before = self._locked(context, connection, request, beside)
        cache = None
        if not mapped:
            cache = rows.cache_without_groups(connection, models, before)
            if cache is None:
                return None
        self._send(context, connection, request, before)
        given = kept.plain(request.values)
        after = {**before, **given}
        if not kept.is_as_stored(models.Instance, given):
            again = rows.by_id(connection, models.Instance, before["id"])
            after = {**before, **again}
        changed = self._changes(connection, request)
        times = (before, after)
        if cache is None:
            return rows.mapped(connection, models, times, joins, changed)
        return rows.related(connection, models, times, joins, changed, cache)

    def _changes(
        self, connection: sa.Connection, request: calls.Request
    ) -> dict[str, pairs.Change]:
        every = pairs.models_of(self._models)
        return {
            name: pairs.change(
                connection, every[name], request.instance_uuid, wanted
            )
            for name, wanted in request.separate.items()
        }

    def _attached(
        self,
        context: Any,
        request: calls.Request,
        joins: list[str] | None,
    ) -> tuple[Any, Any]:
        """Update and answer through the session, as Nova does."""
        session = context.session
        session.flush()
        connection = session.connection()
        before = self._locked(context, connection, request)
        wanted = sorted({*(joins or ()), *request.separate})
        original = self._db._instance_get_by_uuid(
            context, request.instance_uuid, columns_to_join=wanted
        )
        old = copy.copy(original) if joins is not None else None
        if request.values:
            self._send(context, connection, request, before)
        rows.reload(session, original)
        for name, model in (
            ("metadata", self._models.InstanceMetadata),
            ("system_metadata", self._models.InstanceSystemMetadata),
        ):
            if name in request.separate:
                self._db._instance_metadata_update_in_place(
                    context, original, name, model, request.separate[name]
                )
        return old, original

    def _locked(
        self,
        context: Any,
        connection: sa.Connection,
        request: calls.Request,
        beside: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        row = rows.locked(
            connection,
            self._models.Instance,
            request.instance_uuid,
            contexts.scope_of(context),
            beside,
        )
        if row is None:
            raise self._exception.InstanceNotFound(
                instance_id=request.instance_uuid
            )
        return row

    def _send(
        self,
        context: Any,
        connection: sa.Connection,
        request: calls.Request,
        before: Mapping[str, Any],
    ) -> None:
        """Send the one ``UPDATE`` and turn its verdict into Nova's terms."""
        given = request.named
        if not settings.observes():
            given = (*request.added, *given)
        if request.write.sets_state or given:
            counters.add("guarded")
        if before and not settings.observes():
            failed = request.surely_failed(before)
            # A node of a cluster may have locked an old row.
            if failed and not clusters.needs_proof(connection):
                verdicts.refuse(
                    self._exception, context, request, failed, before
                )
        values = kept.stored(connection, self._models.Instance, request.values)
        wanted = update.Update(
            request.instance_uuid, values, given, contexts.scope_of(context)
        )
        try:
            execute.joined(wanted, connection)
        except exceptions.InstanceUpdateConflict as conflict:
            verdicts.refuse(
                self._exception,
                context,
                request,
                *verdicts.of(request, conflict),
            )
        except exceptions.InstanceError as error:
            raise conflicts.translated(self._exception, error) from error
        else:
            verdicts.observe(context, connection, request, before)

    def check(
        self, context: Any, hint: hints.Hint, expected: Mapping[str, Any]
    ) -> None:
        """Raise if an instance is not as expected; :func:`checking.check`."""
        checking.check(self._db, self._exception, context, hint, expected)
