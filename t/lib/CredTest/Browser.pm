package CredTest::Browser;

# A real browser without a window: Chromium, by chromedriver, which speaks
# WebDriver (JSON over HTTP).

use strict;
use warnings;

use HTTP::Tiny ();
use JSON::PP ();
use MIME::Base64 ();
use POSIX ();

use CredTest::Process;

my $Json = JSON::PP->new->utf8->allow_nonref->canonical;
my $Element = 'element-6066-11e4-a52e-4f735466cecf';


# the programs, or nothing where one of them is missing

sub programs {
    my @found = map {
        my ($first) = grep { defined && -x }
                      map { my $name = $_; map { "$_/$name" }
                            split /:/, $ENV{PATH} } @$_;
        $first // ();
    } ['chromedriver'], ['chromium', 'chromium-browser', 'google-chrome'];

    return @found == 2 ? @found : ();
}


# starts both, in a process group and with a profile of their own, which outlive
# a block

sub start {
    my ($class, %args) = @_;

    my ($driver, $chromium) = programs() or die "no chromedriver and chromium";
    my $port = free_port();
    my $dir = temp_dir() . "/browser-$port";

    mkdir $dir;

    my $pid = fork // die "fork: $!";

    if ($pid == 0) {
        setpgrp;
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', "$dir/log";
        open STDERR, '>&', \*STDOUT;
        $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP PIPE);
        $ENV{HOME} = $ENV{XDG_CONFIG_HOME} = $ENV{XDG_CACHE_HOME} = $dir;
        $ENV{TZ} = $args{zone} || 'UTC';
        exec $driver, "--port=$port", '--log-level=WARNING'
            or POSIX::_exit(1);
    }

    my $self = bless {
        pid => $pid, owner => $$, url => "http://127.0.0.1:$port",
        http => HTTP::Tiny->new(timeout => 4 * $CredTest::Process::Patience),
    }, $class;

    wait_for(sub { eval { $self->wire('GET', '/status')->{ready} } })
        or die "chromedriver does not start:\n" . slurp("$dir/log");

    my @flags = ('--headless=new', '--disable-gpu', '--hide-scrollbars',
                 '--no-first-run', '--disable-dev-shm-usage',
                 '--disable-background-networking',
                 '--force-color-profile=srgb', '--lang=en-GB',
                 "--user-data-dir=$dir/profile");
    push @flags, '--no-sandbox' if $> == 0;

    my $session = $self->wire('POST', '/session', {
        capabilities => { alwaysMatch => {
            browserName => 'chrome',
            unhandledPromptBehavior => 'ignore',
            'goog:chromeOptions' => { binary => $chromium, args => \@flags },
            'goog:loggingPrefs' => { browser => 'ALL', performance => 'ALL' },
        } },
    });

    $self->{session} = "/session/$session->{sessionId}";

    return $self;
}


# one command; dies of what is refused

sub wire {
    my ($self, $method, $path, $body) = @_;

    my $answer = $self->{http}->request($method, $self->{url} . $path, {
        headers => { 'Content-Type' => 'application/json' },
        defined $body ? (content => $Json->encode($body)) : (),
    });
    my $value = eval { $Json->decode($answer->{content})->{value} };

    die "$method $path: " . (ref $value eq 'HASH' && $value->{message}
                             || $answer->{content}) . "\n"
        unless $answer->{success};

    return $value;
}


sub command {
    my ($self, $path, $body) = @_;
    return $self->wire('POST', $self->{session} . $path, $body || {});
}


# of the browser itself, by the DevTools protocol

sub tools {
    my ($self, $name, %params) = @_;
    return $self->command('/goog/cdp/execute',
                          { cmd => $name, params => \%params });
}


sub go { $_[0]->command('/url', { url => $_[1] }) }

sub back { $_[0]->command('/back') }


# of the page, in CSS pixels

sub size {
    my ($self, $width, $height, $scale) = @_;

    return $self->tools('Emulation.setDeviceMetricsOverride',
        width => $width + 0, height => $height + 0,
        deviceScaleFactor => ($scale || 1) + 0,
        mobile => $width < 500 ? JSON::PP::true : JSON::PP::false);
}


# what the user prefers: prefers(color_scheme => 'dark')

sub prefers {
    my ($self, %features) = @_;

    return $self->tools('Emulation.setEmulatedMedia', features => [
        map { { name => 'prefers-' . tr/_/-/r, value => $features{$_} } }
        sort keys %features ]);
}


# dark or light, and nothing moves

sub dark {
    my ($self, $on) = @_;

    return $self->prefers(color_scheme => $on // 1 ? 'dark' : 'light',
                          reduced_motion => 'reduce');
}


# all of the page, or as much of it, as PNG

sub screenshot {
    my ($self, $file, $height) = @_;

    my $size = $self->tools('Page.getLayoutMetrics')->{cssContentSize};
    $size->{height} = $height if $height && $height < $size->{height};

    my $image = $self->tools('Page.captureScreenshot', format => 'png',
        captureBeyondViewport => JSON::PP::true,
        clip => { x => 0, y => 0, width => $size->{width},
                  height => $size->{height}, scale => 1 })->{data};

    open my $out, '>:raw', $file or die "$file: $!";
    print $out MIME::Base64::decode_base64($image);
    close $out or die "$file: $!";
}


# the value of a function's body in the page

sub script {
    my ($self, $body, @args) = @_;
    return $self->command('/execute/sync', { script => $body,
                                             args => \@args });
}


sub type {
    my ($self, $keys) = @_;

    return $self->command('/actions', { actions => [ {
        type => 'key', id => 'keyboard',
        actions => [ map { ({ type => 'keyDown', value => $_ },
                            { type => 'keyUp', value => $_ }) }
                     split //, $keys ],
    } ] });
}


sub click {
    my ($self, $selector) = @_;

    my $found = $self->command('/element', { using => 'css selector',
                                             value => $selector });
    return $self->command("/element/$found->{$Element}/click");
}


# an open alert() or the like, or undef

sub prompt {
    my ($self) = @_;
    return eval { $self->wire('GET', $self->{session} . '/alert/text') };
}


# What the page has told its console since, "LEVEL MESSAGE" each.  These logs
# are read once

sub console {
    my ($self) = @_;

    return map { "$_->{level} $_->{message}" }
           @{ $self->command('/se/log', { type => 'browser' }) };
}


# of the network, since: { url, method, type } for each request, and of those
# that were answered { url, status, headers }

sub network {
    my ($self) = @_;
    my (@requests, @answers);

    for (@{ $self->command('/se/log', { type => 'performance' }) }) {
        utf8::encode(my $message = $_->{message});

        my $event = $Json->decode($message)->{message};
        my $params = $event->{params};

        if ($event->{method} eq 'Network.requestWillBeSent') {
            push @requests, { url => $params->{request}{url},
                              method => $params->{request}{method},
                              type => $params->{type} };

        } elsif ($event->{method} eq 'Network.responseReceived') {
            my $headers = $params->{response}{headers};
            push @answers, { url => $params->{response}{url},
                             status => $params->{response}{status},
                             headers => { map { lc, $headers->{$_} }
                                          keys %$headers } };
        }
    }

    return (\@requests, \@answers);
}


# Ends what it has started.  Not all of a browser leaves with its driver

sub stop {
    my ($self) = @_;

    return if $self->{owner} != $$;
    my $pid = delete $self->{pid} or return;

    local ($?, $@, $!);

    eval { $self->wire('DELETE', $self->{session}) } if $self->{session};
    kill 'TERM', -$pid;
    wait_for(sub { waitpid($pid, POSIX::WNOHANG()) != 0 }, 5);
    kill 'KILL', -$pid;
    waitpid $pid, 0;
    wait_for(sub { !kill 0, -$pid }, 5);
}


sub DESTROY { $_[0]->stop }


1;
