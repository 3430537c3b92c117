#include "shared/rc.h"

const char *rc_name(enum rc rc)
{
	switch (rc) {
	case RC_OK:
		return "ok";
	case RC_INVALID:
		return "invalid";
	case RC_NOTFOUND:
		return "not_found";
	case RC_CONFLICT:
		return "conflict";
	case RC_DENIED:
		return "denied";
	case RC_LIMIT:
		return "limit";
	case RC_UNAVAILABLE:
		return "unavailable";
	case RC_INTERNAL:
		return "internal";
	}
	return "unknown";
}
