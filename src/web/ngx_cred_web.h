
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


/*
 * The web room: a small HTTP/1.1 client on nginx's own events and parsers
 * (RFC 9112).  It knows nothing of credentials.
 */


#ifndef _NGX_CRED_WEB_H_INCLUDED_
#define _NGX_CRED_WEB_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_event.h>
#include <ngx_cred_net.h>


#define NGX_CRED_WEB_CONNECTIONS  8             /* to one server */
#define NGX_CRED_WEB_QUEUE        1024          /* requests that wait */
#define NGX_CRED_WEB_HEADER       (16 * 1024)   /* of a response, status line
                                                   included */
#define NGX_CRED_WEB_BODY         (64 * 1024)
#define NGX_CRED_WEB_IDLE         60000         /* a kept connection, ms */
#define NGX_CRED_WEB_PROBE        60000         /* between looks, ms */


/* what became of a request */

#define NGX_CRED_WEB_OK           0  /* there is a response */
#define NGX_CRED_WEB_UNREACHABLE  1  /* no connection, nothing was sent */
#define NGX_CRED_WEB_BUSY         2  /* the queue is full, nothing was sent */
#define NGX_CRED_WEB_BROKEN       3  /* the connection broke after a part of the
                                        request may have been read */
#define NGX_CRED_WEB_TIMEDOUT     4  /* no whole response in time after that */
#define NGX_CRED_WEB_LATE         5  /* its time was over before it was sent */
#define NGX_CRED_WEB_INVALID      6  /* a response that is none, or too long */


typedef struct ngx_cred_web_s          ngx_cred_web_t;
typedef struct ngx_cred_web_request_s  ngx_cred_web_request_t;
typedef struct ngx_cred_web_conn_s     ngx_cred_web_conn_t;


/*
 * Called when a connection is made, with "error" NULL, and when an attempt to
 * make one has failed and there is no other, or a request was lost: then with
 * what the log says, which dies on return, and in how many milliseconds the
 * next attempt is made, or 0.  "name" and "data" are those of
 * ngx_cred_web_get().  Nothing may be sent from within.
 */

typedef void (*ngx_cred_web_changed_pt)(ngx_str_t *name, ngx_str_t *error,
    ngx_msec_t retry, void *data);


/* one server; lives as long as the cycle that uses it */

typedef struct {
    ngx_str_t                   shown;     /* for logs, after "connector: " */
    ngx_cred_net_conf_t         net;
    ngx_cred_net_host_t         host;      /* empty name with a unix socket */
    ngx_str_t                   path;      /* of that */
    ngx_uint_t                  tls;       /* unsigned  tls:1; */
    ngx_msec_t                  connect_timeout;

    ngx_cred_web_changed_pt     changed;   /* or NULL */

    ngx_queue_t                 webs;      /* of this worker; the room's own */
} ngx_cred_web_conf_t;


/* dies when its handler returns */

typedef struct {
    ngx_uint_t                  status;    /* 200 to 599 */
    ngx_str_t                   body;      /* decoded from chunks */
    ngx_str_t                   etag;      /* ETag, or empty; as any field
                                              without CR, LF and NUL, but other
                                              control characters may be in it */
    ngx_str_t                   location;  /* or empty */
    ngx_int_t                   retry_after;   /* seconds, NGX_ERROR: none; of
                                                  both forms of the field */
    unsigned                    encoded:1; /* Content-Encoding, other than
                                              identity, though not asked for:
                                              the body cannot be read */
} ngx_cred_web_response_t;


/*
 * Called exactly once for each request that ngx_cred_web_send() accepted, from
 * an event handler, never from within ngx_cred_web_send().  "response" is there
 * with NGX_CRED_WEB_OK only; otherwise request->error has what went wrong,
 * which dies on return.
 */

typedef void (*ngx_cred_web_handler_pt)(ngx_cred_web_request_t *request,
    ngx_cred_web_response_t *response);


/* owned by the caller, left alone by it until the handler is called */

struct ngx_cred_web_request_s {
    ngx_queue_t                 queue;

    ngx_str_t                   text;      /* all of it, as it is written: line,
                                              header, body */
    ngx_msec_t                  deadline;  /* as ngx_current_msec */
    ngx_cred_web_handler_pt     handler;
    void                       *data;

    ngx_uint_t                  status;    /* NGX_CRED_WEB_OK and so on */
    ngx_str_t                   error;

    ngx_cred_web_conn_t        *conn;      /* that it is on; or NULL */
    unsigned                    head:1;    /* HEAD: the response has no body */
    unsigned                    first:1;   /* it is sent before all that wait,
                                              however many: it ends what has
                                              begun */
    unsigned                    sent:1;    /* a part of it has left, maybe on a
                                              connection that is gone: it may
                                              have been executed */
    unsigned                    again:1;   /* it was sent a second time, since
                                              a kept connection was closed */
};


/*
 * Returns this worker's object for a server, the environment "name" (copied)
 * and "data", which is what conf->changed gets, making it (but not connecting)
 * at first use.  Valid until the calling event handler returns: what nobody
 * asks for is closed after some minutes, unless requests are under way.  NULL
 * if there is no memory, or there are too many of them.
 */
ngx_cred_web_t *ngx_cred_web_get(ngx_cred_web_conf_t *conf, ngx_str_t *name,
    void *data);

/*
 * Sends a request on a connection that is free, a new one, or the next that
 * becomes free.  NGX_OK when request->handler will be called, or NGX_DECLINED
 * with request->status and request->error set when it was refused at once.
 */
ngx_int_t ngx_cred_web_send(ngx_cred_web_t *web,
    ngx_cred_web_request_t *request);

/*
 * Whether requests are refused at once: the last attempt to connect has failed,
 * and no other connection is left.  New attempts are made until one succeeds,
 * with back-off, without being asked for.
 */
ngx_uint_t ngx_cred_web_down(ngx_cred_web_t *web);

/*
 * Keeps it, and the attempts to connect if it is down; like asking for it.  One
 * that was not connected to for NGX_CRED_WEB_PROBE, or never, is connected to
 * now, and nothing is sent, so that conf->changed tells of a server that nobody
 * has asked for anything.  To be called all the time, outside of handlers.
 */
void ngx_cred_web_keep(ngx_cred_web_t *web);

/* its lines end with ", environment: NAME, connector: ..." */
ngx_log_t *ngx_cred_web_log(ngx_cred_web_t *web);

/* a number of the owner's, 0 at first: what was told of it by this worker */
ngx_uint_t ngx_cred_web_told(ngx_cred_web_t *web);
void ngx_cred_web_set_told(ngx_cred_web_t *web, ngx_uint_t told);

/*
 * Closes all of a configuration, silently: requests are not answered, but must
 * still be there.  Not to be called from a handler of a request.
 */
void ngx_cred_web_close(ngx_cred_web_conf_t *conf);


#endif /* _NGX_CRED_WEB_H_INCLUDED_ */
