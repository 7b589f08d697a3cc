
/*
 * Copyright (C) ngx_cred_module authors
 * SPDX-License-Identifier: BSD-2-Clause
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_cred_net_line.h>


static ngx_int_t ngx_cred_net_line_read(ngx_fd_t fd, ngx_uint_t mode,
    u_char *buf, ngx_str_t *line, ngx_cred_net_reading_t *reading);
static ngx_int_t ngx_cred_net_line_failed(ngx_cred_net_reading_t *reading,
    const char *what);


ngx_int_t
ngx_cred_net_line(ngx_str_t *path, ngx_uint_t mode, u_char *buf,
    ngx_str_t *line, ngx_cred_net_reading_t *reading)
{
    ngx_fd_t   fd;
    ngx_int_t  rc;

    ngx_memzero(reading, sizeof(ngx_cred_net_reading_t));

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY|mode, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        return ngx_cred_net_line_failed(reading, ngx_open_file_n);
    }

    rc = ngx_cred_net_line_read(fd, mode, buf, line, reading);

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", path);
    }

    if (rc != NGX_OK) {
        ngx_explicit_memzero(buf, NGX_CRED_NET_LINE_LEN + 1);
    }

    return rc;
}


static ngx_int_t
ngx_cred_net_line_read(ngx_fd_t fd, ngx_uint_t mode, u_char *buf,
    ngx_str_t *line, ngx_cred_net_reading_t *reading)
{
    u_char           *p;
    ssize_t           n;
    ngx_file_info_t   fi;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        return ngx_cred_net_line_failed(reading, ngx_fd_info_n);
    }

    /* only a start may wait for what is no file */

    if ((mode & NGX_FILE_NONBLOCK) && !ngx_is_file(&fi)) {
        reading->before = "no regular file is";
        reading->after = "";
        return NGX_ERROR;
    }

    reading->public = (ngx_is_file(&fi) && (ngx_file_access(&fi) & S_IROTH));

    /* one more, to see that it is too long */

    n = ngx_read_fd(fd, buf, NGX_CRED_NET_LINE_LEN + 1);

    if (n == -1) {
        return ngx_cred_net_line_failed(reading, ngx_read_fd_n);
    }

    p = ngx_strlchr(buf, buf + n, LF);

    line->data = buf;
    line->len = p ? p - buf : n;

    if (p) {
        ngx_explicit_memzero(p, buf + n - p);
    }

    if (line->len && line->data[line->len - 1] == CR) {
        line->len--;
    }

    return (line->len && line->len <= NGX_CRED_NET_LINE_LEN) ? NGX_OK
                                                             : NGX_DECLINED;
}


static ngx_int_t
ngx_cred_net_line_failed(ngx_cred_net_reading_t *reading, const char *what)
{
    reading->err = ngx_errno;
    reading->before = what;
    reading->after = " failed";

    return NGX_ERROR;
}
