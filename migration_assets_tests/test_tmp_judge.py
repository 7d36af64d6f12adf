import time
from migration_assets_tests.loaded_sample import loaded_sample
import pytest
@pytest.mark.parametrize('dirty',[0,0.0001])
def test_x(servers,dirty):
    from migration_assets.model import TABLES
    from migration_assets.validation.values import check_values
    from migration_assets.validation.row_count import check_row_count
    t=time.time()
    with loaded_sample(servers,dirty=dirty) as l:
        print('LOAD',dirty,time.time()-t); t=time.time()
        for x in TABLES.values():
            e=check_values(l.source,l.connection,x); 
            if not e.passed: print(x.name,e.is_sound,e.summary)
        print('VALUES',time.time()-t); t=time.time()
        for x in TABLES.values():
            e=check_row_count(l.source,l.connection,x); 
            if not e.passed: print(x.name,e.is_sound,e.summary)
        print('ROWS',time.time()-t); t=time.time()
