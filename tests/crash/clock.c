/* clock.so: another clock. Preloaded into a program, its wall clock is $CLOCK_AHEAD_S seconds ahead
 * of the real one (behind, where that is negative), and the kernel says of it that it is
 * synchronised, or is not where $CLOCK_UNSYNC is set. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static long ahead_s(void)
{
	const char *text = getenv("CLOCK_AHEAD_S");

	return text ? strtol(text, NULL, 10) : 0;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
	int result = (int)syscall(SYS_clock_gettime, id, out);

	if (result == 0 && id == CLOCK_REALTIME)
		out->tv_sec += ahead_s();
	return result;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone)
{
	struct timespec t;

	(void)zone;
	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return -1;
	*out = (struct timeval){.tv_sec = t.tv_sec, .tv_usec = t.tv_nsec / 1000};
	return 0;
}

time_t time(time_t *out)
{
	struct timespec t;

	if (clock_gettime(CLOCK_REALTIME, &t) != 0)
		return (time_t)-1;
	if (out)
		*out = t.tv_sec;
	return t.tv_sec;
}

int adjtimex(struct timex *t)
{
	if (getenv("CLOCK_UNSYNC")) {
		t->status = STA_UNSYNC;
		return TIME_ERROR;
	}
	t->status = 0;
	return TIME_OK;
}
