# SPDX-License-Identifier: Apache-2.0
"""How an action is written: claimed once, done step by step, never overrun.

The map of :mod:`nova_db_states.machine` says what may follow what; here it is
policy. A method of an API claims its action, a worker does it as a task:

>>> from nova_db_states import actions
>>> class API:
...     @actions.instance_action("stop")
...     def stop(self, context, instance):
...         self.compute_rpcapi.stop_instance(context, instance)
>>> class Manager:
...     def stop_instance(self, context, instance):
...         with actions.task(context, instance, "powering-off"):
...             self.driver.power_off(instance)
"""

from nova_db_states._actions import claims
from nova_db_states._actions import stuck as stuck_
from nova_db_states._actions import task as task_
from nova_db_states._actions import watch as watch_

__all__ = [
    "StuckInstance",
    "Task",
    "Watch",
    "check_instance_state",
    "instance_action",
    "stuck",
    "task",
    "watch",
]

StuckInstance = stuck_.StuckInstance
Task = task_.Task
Watch = watch_.Watch
check_instance_state = claims.check_instance_state
instance_action = claims.instance_action
stuck = stuck_.stuck
task = task_.task
watch = watch_.watch
