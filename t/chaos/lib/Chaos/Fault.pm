package Chaos::Fault;

# What a server can suffer: a word for it, how it begins, or does not (false),
# and how it ends, which is called until it returns true.

use strict;
use warnings;

use parent 'Exporter';

our @EXPORT = qw(killed stopped workers_killed);


sub killed {
    return ['killed', sub { $_[0]->kill; 1 },
            sub { $_[0]->start; $_[0]->ready }];
}


sub stopped {
    return ['stopped', sub { $_[0]->stop; 1 }, sub { $_[0]->cont; 1 }];
}


# one of an nginx, or all

sub workers_killed {
    return ['workers killed', sub {
        my @workers = sort $_[0]->workers;
        @workers = $workers[rand @workers] if @workers && rand() < 0.7;
        $_[0]->kill(@workers) if @workers;
        return scalar @workers;
    }, sub { $_[0]->ready }];
}


1;
