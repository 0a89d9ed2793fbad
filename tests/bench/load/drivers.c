#include "tests/bench/load/load.h"

#include <string.h>

/* A new protocol is another file and another name here. */
extern const struct driver rsocket_driver, rsocket_loss_driver, relay_driver, nats_driver,
    redis_driver, streams_driver, mqtt_driver, amqp_driver, stomp_driver, beanstalk_driver;

static const struct driver *const drivers[] = {
    &rsocket_driver, &rsocket_loss_driver, &relay_driver, &nats_driver,  &redis_driver,
    &streams_driver, &mqtt_driver,         &amqp_driver,  &stomp_driver, &beanstalk_driver,
};

const struct driver *driver_of(const char *name)
{
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(drivers[i]->name, name) == 0)
            return drivers[i];
    die("no protocol '%s'", name);
}
