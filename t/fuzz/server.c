
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <server.h>
#include <ngx_cred_scripts.h>


#define SERVER_PARTS  64
#define SERVER_ARGS   8192


typedef struct {
    ngx_str_t     name;
    ngx_str_t     text;
    unsigned      said:1;
} server_part_t;


/* where arguments of each of its commands begin, and how many it has */

typedef struct {
    const char   *name;
    const char   *sha;
    const char   *text;
    ngx_uint_t    first;
    ngx_uint_t    stride;
    const char   *whole;     /* what is said if the input does not */
    const char   *own;       /* for each of its commands */
    ngx_uint_t    nwhole;
    ngx_uint_t    nown;
} server_script_t;


static ngx_int_t server_argument(u_char **pos, u_char *last, u_char type,
    ngx_uint_t *n);
static ngx_int_t server_parse(server_t *server, ngx_str_t *args,
    ngx_uint_t *nargs, size_t *size);
static void server_answer(server_t *server, ngx_str_t *args, ngx_uint_t nargs);
static const server_script_t *server_find(ngx_str_t *args, ngx_uint_t nargs);
static server_part_t *server_next(const char *name, size_t len);
static void server_known(server_t *server, const server_script_t *script,
    ngx_str_t *args, ngx_uint_t nargs);
static void server_says(server_t *server, const char *text, size_t len);
static ngx_uint_t server_is(ngx_str_t *s, const char *text);


#define server_row(name, upper, first, stride, whole, nwhole, own, nown)      \
    { name, NGX_CRED_SCRIPT_##upper##_SHA, NGX_CRED_SCRIPT_##upper,           \
      first, stride, whole, own, nwhole, nown }


static const server_script_t  server_scripts[] = {
    server_row("delete.lua", DELETE, 13, 9, NULL, 0, NULL, 0),
    server_row("acknowledge.lua", ACKNOWLEDGE, 8, 8, "$-1\r\n", 0, NULL, 0),
    server_row("claim.lua", CLAIM, 8, 1, "*0\r\n", 0, NULL, 0),
    server_row("again.lua", AGAIN, 5, 1, "", 0, NULL, 0),
    server_row("stream.lua", STREAM, 5, 1, "", 0, NULL, 0),
    server_row("undeploy.lua", UNDEPLOY, 6, 1, "", 3,
                  "$12\r\nnot_deployed\r\n$0\r\n\r\n", 2),
    server_row("fence.lua", FENCE, 5, 1, "", 0, ":1\r\n", 1),
    server_row("effective.lua", EFFECTIVE, 5, 2, "", 0, ":0\r\n", 1),
    server_row("lease.lua", LEASE, 5, 4,
                  "*2\r\n$6\r\nleased\r\n$3\r\n0-0\r\n", 0, NULL, 0),
    server_row("access.lua", ACCESS, 6, 3, "", 0,
                  "$0\r\n\r\n:0\r\n:-1\r\n", 3)
};

#undef server_row


static const char  *server_commands[][2] = {
    { "AUTH", "+OK\r\n" },
    { "SELECT", "+OK\r\n" },
    { "PING", "+PONG\r\n" },
    { "EXISTS", ":0\r\n" },
    { "INFO", "$17\r\ncluster_enabled:1\r\n" },
    { "ROLE", "*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n" },
    { "TIME", "*2\r\n$10\r\n1500000000\r\n$1\r\n0\r\n" },
    { "SUBSCRIBE", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" },
    { "SENTINEL", "*2\r\n$8\r\n10.0.0.9\r\n$4\r\n6379\r\n" },
    { "WAIT", ":1\r\n" },
    { "WAITAOF", "*2\r\n:1\r\n:1\r\n" },
    { "EVALSHA", "-NOSCRIPT No matching script.\r\n" }
};


static server_part_t  server_parts[SERVER_PARTS];
static ngx_uint_t     server_nparts;


void
server_script(u_char *data, size_t size)
{
    u_char         *p, *last, *end;
    server_part_t  *part;

    server_nparts = 0;

    last = data + size;
    part = NULL;

    for (p = data; p < last; p = end) {

        end = ngx_strlchr(p, last, '\n');
        end = end ? end + 1 : last;

        if (*p == '@' && server_nparts < SERVER_PARTS) {
            part = &server_parts[server_nparts++];

            part->name.data = p + 1;
            part->name.len = end - p - 1 - (end[-1] == '\n');
            part->text.data = end;
            part->text.len = 0;
            part->said = 0;

        } else if (part) {
            part->text.len += end - p;
        }
    }
}


static server_part_t *
server_next(const char *name, size_t len)
{
    ngx_uint_t      i;
    server_part_t  *part;

    for (i = 0; i < server_nparts; i++) {
        part = &server_parts[i];

        if (!part->said && part->name.len == len
            && ngx_memcmp(part->name.data, name, len) == 0)
        {
            part->said = 1;
            return part;
        }
    }

    return NULL;
}


ngx_uint_t
server_refuses(const char *what)
{
    server_part_t  *part;

    part = server_next(what, ngx_strlen(what));

    return part && part->text.len && part->text.data[0] == '-';
}


void
server_hears(server_t *server, u_char *data, size_t size)
{
    size_t      used;
    ngx_uint_t  nargs;

    static ngx_str_t  args[SERVER_ARGS];

    server->heard.data = realloc(server->heard.data, server->heard.len + size);
    fuzz_assert(server->heard.data != NULL);

    ngx_memcpy(server->heard.data + server->heard.len, data, size);
    server->heard.len += size;

    while (server_parse(server, args, &nargs, &used) == NGX_OK) {

        if (!server->closed) {
            server_answer(server, args, nargs);
        }

        server->heard.len -= used;
        ngx_memmove(server->heard.data, server->heard.data + used,
                    server->heard.len);
    }
}


/* commands are what the codec has written, and it writes nothing else */

static ngx_int_t
server_parse(server_t *server, ngx_str_t *args, ngx_uint_t *nargs, size_t *size)
{
    u_char      *p, *last;
    ngx_uint_t   i;

    p = server->heard.data;
    last = p + server->heard.len;

    if (server_argument(&p, last, '*', nargs) != NGX_OK) {
        return NGX_AGAIN;
    }

    fuzz_assert(*nargs > 0 && *nargs <= SERVER_ARGS);

    for (i = 0; i < *nargs; i++) {

        if (server_argument(&p, last, '$', &args[i].len) != NGX_OK
            || (size_t) (last - p) < args[i].len + 2)
        {
            return NGX_AGAIN;
        }

        args[i].data = p;
        p += args[i].len;

        fuzz_assert(p[0] == '\r' && p[1] == '\n');
        p += 2;
    }

    *size = p - server->heard.data;

    return NGX_OK;
}


static ngx_int_t
server_argument(u_char **pos, u_char *last, u_char type, ngx_uint_t *n)
{
    u_char     *p, *end;
    ngx_int_t   rc;

    p = *pos;

    end = (p < last) ? ngx_strlchr(p, last, '\n') : NULL;

    if (end == NULL) {
        return NGX_AGAIN;
    }

    fuzz_assert(p[0] == type && end[-1] == '\r');

    rc = ngx_atoi(p + 1, end - p - 2);
    fuzz_assert(rc != NGX_ERROR);

    *n = rc;
    *pos = end + 1;

    return NGX_OK;
}


static void
server_answer(server_t *server, ngx_str_t *args, ngx_uint_t nargs)
{
    ngx_uint_t              i;
    server_part_t          *part;
    const server_script_t  *script;

    script = server_find(args, nargs);

    part = script ? server_next(script->name, ngx_strlen(script->name))
                  : server_next((char *) args[0].data, args[0].len);

    if (part) {
        server_says(server, (char *) part->text.data, part->text.len);
        return;
    }

    if (script) {
        server_known(server, script, args, nargs);
        return;
    }

    for (i = 0; i < sizeof(server_commands) / sizeof(server_commands[0]); i++) {

        if (server_is(&args[0], server_commands[i][0])) {
            server_says(server, server_commands[i][1],
                        ngx_strlen(server_commands[i][1]));
            return;
        }
    }

    server->closed = 1;
}


static const server_script_t *
server_find(ngx_str_t *args, ngx_uint_t nargs)
{
    ngx_uint_t              i;
    const server_script_t  *script;

    if (nargs < 3) {
        return NULL;
    }

    for (i = 0; i < sizeof(server_scripts) / sizeof(server_scripts[0]); i++) {
        script = &server_scripts[i];

        if (server_is(&args[1], script->sha)
            || server_is(&args[1], script->text))
        {
            return script;
        }
    }

    return NULL;
}


/* where nothing was lost, and there is nothing to be undeployed */

static void
server_known(server_t *server, const server_script_t *script, ngx_str_t *args,
    ngx_uint_t nargs)
{
    int         n;
    char        buf[256];
    ngx_uint_t  i, commands;

    if (script->whole == NULL) {
        server->closed = 1;
        return;
    }

    server_says(server, script->whole, ngx_strlen(script->whole));

    if (ngx_strcmp(script->name, "again.lua") == 0) {
        fuzz_assert(nargs > 6);

        n = snprintf(buf, sizeof(buf), "%s",
                     server_is(&args[6], "ask")
                     ? "*4\r\n$1\r\n1\r\n$0\r\n\r\n$0\r\n\r\n$0\r\n\r\n"
                     : "*3\r\n$8\r\nadmitted\r\n$1\r\n1\r\n:0\r\n");
        server_says(server, buf, n);
    }

    if (ngx_strcmp(script->name, "stream.lua") == 0) {
        fuzz_assert(nargs == 8 && args[7].len < 32);

        server->count = ngx_atoi(args[7].data, args[7].len);

        n = snprintf(buf, sizeof(buf),
                     "*4\r\n:1\r\n$3\r\n0-0\r\n$0\r\n\r\n$%d\r\n%.*s\r\n",
                     (int) args[7].len, (int) args[7].len, args[7].data);
        server_says(server, buf, n);
    }

    if (script->own == NULL) {
        return;
    }

    commands = (nargs - script->first) / script->stride;

    n = snprintf(buf, sizeof(buf), "*%lu\r\n",
                 (unsigned long) (script->nwhole + commands * script->nown));
    server_says(server, buf, n);

    if (script->nwhole) {
        n = snprintf(buf, sizeof(buf), "%lu:", (unsigned long) ++server->count);
        n = snprintf(buf, sizeof(buf), "$%d\r\n%lu:\r\n:0\r\n:0\r\n", n,
                     (unsigned long) server->count);
        server_says(server, buf, n);
    }

    for (i = 0; i < commands; i++) {
        server_says(server, script->own, ngx_strlen(script->own));
    }
}


static void
server_says(server_t *server, const char *text, size_t len)
{
    if (len == 0) {
        return;
    }

    server->said.data = realloc(server->said.data, server->said.len + len);
    fuzz_assert(server->said.data != NULL);

    ngx_memcpy(server->said.data + server->said.len, text, len);
    server->said.len += len;
}


void
server_forget(server_t *server)
{
    free(server->heard.data);
    free(server->said.data);
}


static ngx_uint_t
server_is(ngx_str_t *s, const char *text)
{
    return s->len == ngx_strlen(text)
           && ngx_memcmp(s->data, text, s->len) == 0;
}
