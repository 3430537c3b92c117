/* lws_metrics: the listener that Prometheus scrapes: GET /metrics and nothing else. */
#ifndef TUNNELD_LWS_METRICS_H
#define TUNNELD_LWS_METRICS_H

struct lws_protocols;

/* The protocols of the metrics' vhost. The context's user pointer must be the struct hub. */
const struct lws_protocols *lws_metrics_protocols(void);

#endif
