#include "fcgi-app/spare.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shared/mem.h"

struct piece {
	struct buf buf;
	int64_t since_ms;
};

struct spare {
	pthread_mutex_t lock;
	struct piece pieces[SPARE_PIECES]; /* oldest first */
	size_t count, bytes;
};

struct spare *spare_new(void)
{
	struct spare *s = xcalloc(1, sizeof(*s));

	(void)pthread_mutex_init(&s->lock, NULL);
	return s;
}

void spare_free(struct spare *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->count; i++)
		buf_free(&s->pieces[i].buf);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

void spare_take(struct spare *s, struct buf *b)
{
	(void)pthread_mutex_lock(&s->lock);
	/* One that is longer than b may become stays where it is. */
	if (s->count > 0 && s->pieces[s->count - 1].buf.cap <= b->max) {
		size_t max = b->max;

		*b = s->pieces[--s->count].buf;
		b->max = max;
		s->bytes -= b->cap;
	}
	(void)pthread_mutex_unlock(&s->lock);
}

void spare_give(struct spare *s, struct buf *b, int64_t now_ms)
{
	if (b->cap >= SPARE_MIN) {
		(void)pthread_mutex_lock(&s->lock);
		if (s->count < SPARE_PIECES && b->cap <= SPARE_MAX - s->bytes) {
			buf_reset(b);
			s->bytes += b->cap;
			s->pieces[s->count++] = (struct piece){*b, now_ms};
			buf_init(b, b->max);
		}
		(void)pthread_mutex_unlock(&s->lock);
	}
	buf_free(b);
}

int64_t spare_trim(struct spare *s, int64_t now_ms)
{
	struct piece old[SPARE_PIECES];
	size_t n = 0;
	int64_t due;

	(void)pthread_mutex_lock(&s->lock);
	while (n < s->count && s->pieces[n].since_ms + SPARE_MS <= now_ms) {
		s->bytes -= s->pieces[n].buf.cap;
		old[n] = s->pieces[n];
		n++;
	}
	s->count -= n;
	memmove(s->pieces, s->pieces + n, s->count * sizeof(s->pieces[0]));
	due = s->count > 0 ? s->pieces[0].since_ms + SPARE_MS : INT64_MAX;
	(void)pthread_mutex_unlock(&s->lock);
	while (n > 0)
		buf_free(&old[--n].buf);
	return due;
}
