package CredTest::Npm;

# What npm has installed in build/connectors, by "make connectors".

use strict;
use warnings;

use Cwd ();
use CredTest::Target;

my $Packages = Cwd::abs_path('build/connectors/node_modules')
               // 'build/connectors/node_modules';


# of these packages and Node, what is not there

sub lacks {
    my (@packages) = @_;
    return CredTest::Target->missing('node'),
           grep { !-e "$Packages/$_/package.json" } @packages;
}


sub folder { "$Packages/$_[0]" }

sub environment { ("NODE_PATH=$Packages", 'NODE_OPTIONS=') }


1;
