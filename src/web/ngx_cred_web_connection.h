
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/* what the files of the web room share; nobody else includes it */


#ifndef _NGX_CRED_WEB_CONNECTION_H_INCLUDED_
#define _NGX_CRED_WEB_CONNECTION_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_http.h>
#include <ngx_cred_web.h>


#define NGX_CRED_WEB_ERROR_LEN  512
#define NGX_CRED_WEB_NAME_LEN   256                       /* in logs */
#define NGX_CRED_WEB_INTERIM    16                        /* 1xx in a row */
#define NGX_CRED_WEB_CHUNKS     (8 * NGX_CRED_WEB_BODY)   /* as they come */


/* what of a response comes next */

typedef enum {
    NGX_CRED_WEB_LINE = 0,
    NGX_CRED_WEB_FIELDS,
    NGX_CRED_WEB_NONE,           /* there is no body */
    NGX_CRED_WEB_LENGTH,
    NGX_CRED_WEB_CHUNKED,
    NGX_CRED_WEB_CLOSE           /* the body ends with the connection */
} ngx_cred_web_part_e;


/* a response that is being read, with what nginx's parsers want */

typedef struct {
    ngx_cred_web_response_t   response;
    const char               *err;         /* what is wrong with it */

    ngx_http_request_t        request;     /* the parsers' state */
    ngx_connection_t          connection;  /* their log */
    ngx_http_status_t         line;
    ngx_http_chunked_t        chunked;
    ngx_buf_t                 header;      /* in "data" */

    ngx_cred_web_part_e       part;
    ngx_uint_t                interim;     /* 1xx so far */
    off_t                     length;      /* of the body; -1: not named */
    size_t                    size;        /* allocated for the body */
    size_t                    raw;         /* its chunks' bytes so far */

    unsigned                  head:1;      /* to HEAD */
    unsigned                  coded:1;     /* chunked, says the header */
    unsigned                  close:1;     /* Connection: close ... */
    unsigned                  persist:1;   /* ... and keep-alive */
    unsigned                  keep:1;      /* the connection may be kept */

    u_char                    data[NGX_CRED_WEB_HEADER];
} ngx_cred_web_parser_t;


struct ngx_cred_web_conn_s {
    ngx_queue_t               queue;       /* web->closed, idle or active */
    ngx_cred_web_t           *web;
    ngx_cred_net_t            net;
    ngx_event_t               timer;       /* to connect, of the request, or of
                                              being idle */

    ngx_cred_web_request_t   *request;     /* while it connects: the one that is
                                              to be sent again */
    size_t                    pos;         /* bytes of it that have left */
    ngx_err_t                 err;         /* of a write that failed */
    ngx_cred_web_parser_t    *parser;      /* NULL: not a byte has come */

    ngx_uint_t                open;        /* unsigned  open:1; */
    unsigned                  kept:1;      /* it was idle: the server may have
                                              closed it meanwhile */
    unsigned                  unwritable:1;
    unsigned                  probe:1;     /* it is made to see whether it can
                                              be, and closed */
};


struct ngx_cred_web_s {
    ngx_queue_t               bucket;      /* by what it was asked for with */
    ngx_queue_t               queue;       /* least recently used last */
    ngx_queue_t               webs;        /* of conf */
    ngx_msec_t                used;
    ngx_str_t                 name;
    void                     *data;

    ngx_pool_t               *pool;
    ngx_log_t                 log;
    ngx_str_t                 shown;       /* the name in logs */
    ngx_cred_web_conf_t      *conf;
    ngx_uint_t                told;        /* by the owner */

    ngx_queue_t               closed;      /* connections, the one that was
                                              used last first */
    ngx_queue_t               idle;
    ngx_queue_t               active;      /* they connect or have a request */
    ngx_uint_t                nconns;      /* in all three */

    ngx_queue_t               waiting;     /* requests for a connection */
    ngx_uint_t                nwaiting;
    ngx_uint_t                nrequests;   /* these, and those under way */

    ngx_event_t               start;       /* posted: to give them one */
    ngx_event_t               timer;       /* the first of them is late */
    ngx_event_t               backoff;     /* the next attempt to connect */
    ngx_uint_t                failures;    /* attempts, in a row */
    ngx_msec_t                tried;       /* when it was connected to last, or
                                              has answered */

    u_char                    error[NGX_CRED_WEB_ERROR_LEN];
    size_t                    error_len;   /* of what went wrong last */

    ngx_uint_t                busy;        /* within handlers of the owner's */
    unsigned                  down:1;      /* and it was logged */
    unsigned                  doubtful:1;  /* the last request was lost */
    unsigned                  known:1;     /* it was ever tried */
};


/* ngx_cred_web_request.c */

void ngx_cred_web_start_handler(ngx_event_t *ev);
void ngx_cred_web_late_handler(ngx_event_t *ev);

/* a connection is free, or gone: looks at what waits at the end of this turn */
void ngx_cred_web_start(ngx_cred_web_t *web);

/* the first one that waits and is not late, which waits no more; or NULL */
ngx_cred_web_request_t *ngx_cred_web_next(ngx_cred_web_t *web);

/* whether anybody waits for it keeps a worker that exits, or does not */
void ngx_cred_web_watch(ngx_cred_web_t *web);

/* calls the handler of a request that is nowhere any more */
void ngx_cred_web_finish(ngx_cred_web_t *web, ngx_cred_web_request_t *request,
    ngx_uint_t status, ngx_str_t *error, ngx_cred_web_response_t *response);

#define ngx_cred_web_left(request)                                            \
    ((ngx_msec_int_t) ((request)->deadline - ngx_current_msec))


/* ngx_cred_web_state.c */

void ngx_cred_web_backoff_handler(ngx_event_t *ev);

/* connects if nothing is known of late, and nobody else is about to */
void ngx_cred_web_probe(ngx_cred_web_t *web);

/* a connection was made */
void ngx_cred_web_reached(ngx_cred_web_t *web);

/*
 * It could not be made, for what is in web->error; "request", or NULL, was to
 * be sent on it again.
 */
void ngx_cred_web_missed(ngx_cred_web_t *web, ngx_cred_web_request_t *request);

/* what waits ends, and so does "request", or NULL: it cannot be reached */
void ngx_cred_web_give_up(ngx_cred_web_t *web,
    ngx_cred_web_request_t *request);

/* the connection of a request broke, for what is in web->error */
void ngx_cred_web_lost(ngx_cred_web_t *web, ngx_cred_web_request_t *request,
    ngx_uint_t status);

/* there is a response, which is freed with its parser */
void ngx_cred_web_answered(ngx_cred_web_t *web,
    ngx_cred_web_request_t *request, ngx_cred_web_parser_t *parser);

/* whether there is any connection */
ngx_uint_t ngx_cred_web_made(ngx_cred_web_t *web);


/* ngx_cred_web_connection.c */

/* one that is closed, made if there is none and may be one more; or NULL */
ngx_cred_web_conn_t *ngx_cred_web_conn_get(ngx_cred_web_t *web);

/* one that is idle and seems to be alive; or NULL */
ngx_cred_web_conn_t *ngx_cred_web_conn_idle(ngx_cred_web_t *web);

/* connects; ends in ngx_cred_web_reached() or ngx_cred_web_missed() */
void ngx_cred_web_conn_connect(ngx_cred_web_conn_t *conn);

/* sends a request on one that is idle */
void ngx_cred_web_conn_send(ngx_cred_web_conn_t *conn,
    ngx_cred_web_request_t *request);

/* closes it, whatever its state, and forgets its request */
void ngx_cred_web_conn_close(ngx_cred_web_conn_t *conn);

/* sets who waits for it; nobody: "idle" */
void ngx_cred_web_conn_watch(ngx_cred_web_conn_t *conn, ngx_uint_t idle);

/* it has none any more, or never had one: it is free for another */
void ngx_cred_web_conn_keep(ngx_cred_web_conn_t *conn);

/*
 * The server has closed a connection that was idle, and the request crossed
 * that: it was hardly seen.  It goes to a new connection, where this cannot
 * happen once more.
 */
void ngx_cred_web_conn_again(ngx_cred_web_conn_t *conn);

/* closes it: its request was lost, for this reason */
void ngx_cred_web_conn_broken(ngx_cred_web_conn_t *conn, ngx_uint_t status,
    ngx_err_t err, const char *reason, ngx_str_t *detail);

#define ngx_cred_web_conn_made(conn)                                          \
    ((conn)->net.state == NGX_CRED_NET_CONNECTED)


/* ngx_cred_web_exchange.c */

/* writes what can be written of its request */
void ngx_cred_web_conn_write(ngx_cred_web_conn_t *conn);

void ngx_cred_web_write_handler(ngx_event_t *wev);
void ngx_cred_web_read_handler(ngx_event_t *rev);


/* ngx_cred_web_response.c: pure */

/* NULL if there is no memory; "head": the request's method is HEAD */
ngx_cred_web_parser_t *ngx_cred_web_parser_create(ngx_log_t *log,
    ngx_uint_t head);

void ngx_cred_web_parser_destroy(ngx_cred_web_parser_t *parser);

/*
 * Takes what has come.  NGX_AGAIN: that is not all; NGX_OK: parser->response is
 * there, and parser->keep; NGX_ERROR: it is none, parser->err says why.  Not to
 * be called again after the latter two.
 */
ngx_int_t ngx_cred_web_parser_feed(ngx_cred_web_parser_t *parser, u_char *data,
    size_t len);

/*
 * There is no more to come; "clean": since the server says so.  NGX_OK if that
 * was all, NGX_ERROR if it was not.
 */
ngx_int_t ngx_cred_web_parser_end(ngx_cred_web_parser_t *parser,
    ngx_uint_t clean);

/* sets parser->err, a constant, and returns NGX_ERROR */
ngx_int_t ngx_cred_web_wrong(ngx_cred_web_parser_t *parser, const char *err);


/* ngx_cred_web_field.c: pure */

/* takes the field that nginx's parser has found; NGX_ERROR if it is wrong */
ngx_int_t ngx_cred_web_field(ngx_cred_web_parser_t *parser);

/* likewise of a trailer, which tells of no more than the ETag */
ngx_int_t ngx_cred_web_trailer(ngx_cred_web_parser_t *parser);


#endif /* _NGX_CRED_WEB_CONNECTION_H_INCLUDED_ */
